"""The ledger of the prompts that runs of one name have taken, so that scheduled runs use only new ones."""

import json
from collections.abc import Collection, Iterable
from typing import NamedTuple

from ..storage import generations, layout, outcome
from ..storage.generations import Generation
from ..storage.store import Store
from . import lock


class _Entries(NamedTuple):
    """The content of a ledger."""

    taken: dict[str, str]
    """Run root by prompt digest."""
    failed: list[str]
    """Run roots of runs that failed: others may take their prompts."""


class Ledger:
    """The ledger `<prefix>/ledgers/<run name>` beside the run roots, as the run under one of them sees it."""

    def __init__(self, run_root: Store, name: str) -> None:
        self._store = run_root.at("..")
        self._key = f"ledgers/{name}"
        self._run = run_root.uri

    def free(self, prompts: Iterable[str]) -> set[str]:
        """The `prompts` (digests) that this run may take: after a restart only its own, otherwise the new ones."""
        entries, _ = self._read()
        holders = {prompt: entries.taken.get(prompt) for prompt in prompts}
        own = {prompt for prompt, holder in holders.items() if holder == self._run}
        given_up = {None, *entries.failed, *self._abandoned(entries, holders.values())}
        return own or {prompt for prompt, holder in holders.items() if holder in given_up}

    def take(self, prompts: Collection[str]) -> bool:
        """Record that this run takes `prompts` (digests). False, and nothing is recorded, if another run was faster."""
        while True:
            entries, current = self._read()
            holders = {entries.taken.get(prompt) for prompt in prompts}
            open_to_me = {None, self._run, *entries.failed}
            if holders - open_to_me - self._abandoned(entries, holders):
                return False
            taken = entries.taken | dict.fromkeys(prompts, self._run)
            if self._write(taken, [run for run in entries.failed if run != self._run], current):
                return True

    def fail(self) -> None:
        """Release the prompts of this failed run to others; if it resumes, it still has those that no run has taken."""
        while True:
            entries, current = self._read()
            if self._run not in entries.taken.values() or self._run in entries.failed:
                return
            if self._write(entries.taken, [*entries.failed, self._run], current):
                return

    def _abandoned(self, entries: _Entries, holders: Iterable[str | None]) -> set[str | None]:
        """The holders that died without recording it: neither running nor finished, but with an existing run root.

        Their last task, which updates the ledger, did not run either, for example because its node was lost.
        """
        others = {holder for holder in holders if holder and holder != self._run and holder not in entries.failed}
        # Run roots share a folder: opening a connection for each of them would take a second.
        return {holder for holder in others if _is_abandoned(self._store.at(holder.rpartition("/")[2]))}

    def _read(self) -> tuple[_Entries, Generation | None]:
        current = generations.newest(self._store, self._key)
        return _Entries(**json.loads(current.data)) if current else _Entries({}, []), current

    def _write(self, taken: dict[str, str], failed: list[str], previous: Generation | None) -> bool:
        # A failed run can be forgotten once other runs have taken all of its prompts.
        entries = _Entries(taken, sorted(set(failed) & set(taken.values())))
        data = json.dumps(entries._asdict(), sort_keys=True).encode()
        return generations.put(self._store, self._key, data, previous)


def _is_abandoned(run_root: Store) -> bool:
    if not lock.exists(run_root) or lock.in_use_by(run_root) or run_root.exists(layout.SUMMARY):
        return False
    ended = outcome.read(run_root)
    return ended is None or ended.outcome not in ("succeeded", "pending")
