"""Which prompts the runs of one name have taken, so that a recurring run can wait for new ones."""

import json
from collections.abc import Sequence

from ..shared.digests import digest_json
from ..shared.store import Store
from .prompts import Prompt


class NothingNew(Exception):
    """There are too few new prompts to run on."""


class Ledger:
    """The ledger `<prefix>/ledgers/<run name>.json` beside the run roots: the run root by each prompt's digest."""

    def __init__(self, run_root: Store, name: str) -> None:
        self._store = run_root.at("..")
        self._key = f"ledgers/{name}.json"
        self._run = run_root.uri

    def new(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The prompts that no run has taken; after a restart, those that this run has taken itself, and no more."""
        taken, _ = self._read()
        holders = [taken.get(_digest(prompt)) for prompt in prompts]
        mine = self._run if self._run in holders else None
        return [prompt for prompt, holder in zip(prompts, holders, strict=True) if holder == mine]

    def take(self, prompts: Sequence[Prompt]) -> None:
        """Write down that this run takes prompts."""
        while True:
            taken, version = self._read()
            taken |= {_digest(prompt): self._run for prompt in prompts}
            if self._store.swap(self._key, json.dumps(taken, sort_keys=True).encode(), version):
                return

    def _read(self) -> tuple[dict[str, str], str | None]:
        current = self._store.read_version(self._key)
        return (json.loads(current[0]), current[1]) if current else ({}, None)


def _digest(prompt: Prompt) -> str:
    return digest_json([prompt.messages, prompt.given])
