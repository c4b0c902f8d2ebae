"""Which runs are kept, and why."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nashflow.components.methods.phases import REFERENCE, REFERENCE_APART
from nashflow.components.runtime import lock
from nashflow.components.storage import layout
from nashflow.components.storage.run import flatten
from nashflow.components.storage.units import read_manifest
from nashflow.components.tracking.registry import lies_under

from .inventory import Inventory, RunRoot
from .registry import registered

_DAY = 86_400.0
_WAITING_DAYS = 7
"""How long a run that has not ended may write nothing, whatever age is given."""


@dataclass(frozen=True)
class Decision:
    """Why each run that is kept is kept, by run root; and the other runs."""

    kept: Mapping[str, str]
    removed: Sequence[RunRoot]


def decide(inventory: Inventory, limit: float, keep_last: int) -> Decision:
    """Decide on every run.

    A run is kept while a live run holds its lock, while it was written to within the last `limit` seconds, or a week if
    it has not ended; if it is one of the `keep_last` newest finished runs of its name, if a registered model lies in
    it, or if a kept run needs it.

    Raises:
        UserError: the registry does not answer, or is not the one that the runs are tracked in.
    """
    now = time.time()
    kept = dict(_by_itself(inventory.runs, limit, now)) | dict(_newest(inventory.runs, keep_last))
    candidates = [run for run in inventory.runs if run.uri not in kept]
    if candidates:
        kept |= {uri: f"registered as {name}" for uri, name in registered(candidates, inventory.prefix).items()}
    while needed := dict(_needed(inventory.runs, kept)):
        kept |= needed
    return Decision(kept, [run for run in inventory.runs if run.uri not in kept])


def _by_itself(runs: Iterable[RunRoot], limit: float, now: float) -> Iterator[tuple[str, str]]:
    """The reason to keep a run independent of other runs."""
    for run in runs:
        age = now - run.written
        if run.run is None:
            yield run.uri, f"its {layout.RUN} cannot be read: look at it, and delete it by hand"
        elif run.locked_by and (owner := lock.in_use_by(run.store)):
            yield run.uri, f"in use by {owner}"
        elif age < limit:
            yield run.uri, f"written to {ago(age)}"
        elif not run.ended and age < _WAITING_DAYS * _DAY:
            yield (
                run.uri,
                f"has not ended, written to {ago(age)}: it may wait for nodes, so it stays {_WAITING_DAYS} days",
            )


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
    """Paths outside of its run root that a run reads: what its recipe names, and where its first policies lie."""
    recipe = flatten(run.run.recipe) if run.run else {}
    yield from (value for value in recipe.values() if isinstance(value, str) and "/" in value)
    for first in (REFERENCE, REFERENCE_APART):
        manifest = read_manifest(run.store, layout.policy(0, first.name))
        if manifest and manifest.source:
            yield manifest.source
