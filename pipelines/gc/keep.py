"""Which runs are kept, and why; and what of the shared cache no kept run needs."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nashflow.components.shared import layout
from nashflow.components.shared.run import flatten
from nashflow.components.shared.units import read_manifest

from .inventory import Entry, Inventory, RunRoot
from .registry import lies_under, registered

_DAY = 86_400.0
_MANIFEST = ".manifest.json"


@dataclass(frozen=True)
class Decision:
    """Why each run that is kept is kept, by run root; the other runs; the folders of the cache that go with them."""

    kept: Mapping[str, str]
    removed: Sequence[RunRoot]
    shared: Mapping[str, Mapping[str, Entry]]
    """Files by folder, `cache/logprobs/<weights>` or `cache/references/<digest>`, or by ledger."""


def decide(inventory: Inventory, limit: float, keep_last: int) -> Decision:
    """Decide on every run and on what they share.

    A run is kept while a live run holds its lock, while it was written to within the last `limit` seconds, if it is one
    of the `keep_last` newest finished runs of its name, if a registered model lies in it, or if a kept run needs it.

    Raises:
        UserError: the registry does not answer.
    """
    now = time.time()
    kept = dict(_by_itself(inventory.runs, limit, now)) | dict(_newest(inventory.runs, keep_last))
    candidates = [run for run in inventory.runs if run.uri not in kept]
    if candidates:
        kept |= {uri: f"registered as {name}" for uri, name in registered(candidates, inventory.prefix).items()}
    while needed := dict(_needed(inventory.runs, kept)):
        kept |= needed
    removed = [run for run in inventory.runs if run.uri not in kept]
    remaining = [run for run in inventory.runs if run.uri in kept]
    return Decision(kept, removed, dict(_unreferenced(inventory, remaining, limit, now)))


def _by_itself(runs: Iterable[RunRoot], limit: float, now: float) -> Iterator[tuple[str, str]]:
    """What keeps a run whatever others there are."""
    for run in runs:
        if run.damaged:
            yield run.uri, f"its {layout.RUN} cannot be read: look at it, and delete it by hand"
        elif owner := in_use(run, now):
            yield run.uri, f"in use by {owner}"
        elif now - run.written < limit:
            yield run.uri, f"written to {ago(now - run.written)}"


def in_use(run: RunRoot, now: float) -> str:
    """The owner of a run's lock that has not expired; empty if there is none."""
    if layout.LOCK not in run.entries or not (current := run.store.read_version(layout.LOCK)):
        return ""
    try:
        lock = json.loads(current[0])
        return str(lock["owner"]) if lock["expires"] > now else ""
    except (ValueError, KeyError, TypeError):
        return ""


def ago(seconds: float) -> str:
    """A time that has passed, for people."""
    days = seconds / _DAY
    return f"{days:.0f} days ago" if days >= 2 else f"{seconds / 3600:.0f} hours ago"


def _newest(runs: Iterable[RunRoot], count: int) -> Iterator[tuple[str, str]]:
    """The newest finished runs of each name."""
    by_name: dict[str, list[RunRoot]] = {}
    for run in sorted(runs, key=lambda run: -run.written):
        if run.run and run.finished:
            by_name.setdefault(run.run.name, []).append(run)
    for name, mine in by_name.items():
        yield from ((run.uri, f"one of the last {count} of {name}") for run in mine[:count])


def _needed(runs: Sequence[RunRoot], kept: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The runs not kept so far in which something lies that a kept run reads."""
    for run in (run for run in runs if run.uri in kept):
        places = list(_read_by(run))
        for other in runs:
            if other.uri not in kept and any(lies_under(place, other.uri) for place in places):
                yield other.uri, f"needed by {run.uri}"


def _read_by(run: RunRoot) -> Iterator[str]:
    """Paths outside of its run root that a run reads: what its recipe names, and where its reference lies."""
    recipe = flatten(run.run.recipe) if run.run else {}
    yield from (value for value in recipe.values() if isinstance(value, str) and "/" in value)
    reference = read_manifest(run.store, layout.policy(0, "main"))
    if reference and reference.source:
        yield reference.source


def _unreferenced(
    inventory: Inventory, kept: Sequence[RunRoot], limit: float, now: float
) -> Iterator[tuple[str, dict[str, Entry]]]:
    """The folders of the cache, and the ledgers, that no kept run refers to and nobody wrote to within the limit."""
    folders: dict[str, dict[str, Entry]] = {}
    for key, entry in inventory.shared.items():
        folders.setdefault(_folder(key), {})[key] = entry
    weights = {digest for run in kept for digest in _weights(run)}
    # A run without run.json, such as a firing that found no new prompts, does not say whose it is.
    everything = any(run.run is None for run in kept)
    named = {run.run.inputs.get("policy", "") for run in kept if run.run}
    names = {run.run.name for run in kept if run.run}
    for folder, entries in folders.items():
        *kind, last = folder.split("/")
        referred = {
            ("cache", "logprobs"): last in weights | named,
            ("cache", "references"): everything or last in named,
            ("ledgers",): everything or last.removesuffix(".json") in names,
        }.get(tuple(kind), True)
        if not referred and now - max(entry.modified for entry in entries.values()) >= limit:
            yield folder, entries


def _folder(key: str) -> str:
    """What a shared file belongs to."""
    parts = key.split("/")
    depth = 2 if parts[0] == "ledgers" else 3
    return "/".join(parts[:depth]).removesuffix(_MANIFEST)


def _weights(run: RunRoot) -> Iterator[str]:
    """Digests of the weights of a run's policies."""
    for key in run.entries:
        if key.startswith("policies/") and key.endswith(_MANIFEST):
            manifest = read_manifest(run.store, key.removesuffix(_MANIFEST))
            yield str(manifest.metrics.get("weights", "")) if manifest else ""
