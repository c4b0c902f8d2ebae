"""The skeleton of a unit of work: finished? → work, with a journal → publish → report to the tracker."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..runtime.progress import listen, stop_listening
from ..runtime.protocol import Call
from ..storage.journal import Journal, discard
from ..storage.records import Record
from ..storage.run import read_run
from ..storage.units import Manifest, Unit, read_manifest
from ..tracking.curves import Curves
from ..tracking.tracker import Tracker
from .units import Shape

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Work:
    """A unit of work in progress: the journal holds its finished parts, and publishing ends it."""

    unit: Unit
    journal: Journal
    started: float
    """When it would have begun if all attempts at it had followed one another."""

    def after(self, spent: float) -> "Work":
        """The same work, to which earlier attempts have given so many seconds."""
        return replace(self, started=self.started - spent)

    def publish(self, records: Mapping[Record[Any], Rows], metrics: Mapping[str, float | None]) -> Manifest:
        """Publish records."""
        return self.unit.publish_records(records, metrics, self.started)

    def publish_policy(self, folder: Path, metrics: Mapping[str, float | None], **fields: Any) -> Manifest:
        """Publish a model folder."""
        return self.unit.publish_folder(folder, metrics, self.started, **fields)


class AtWork:
    """A step at work on units of an iteration; the tracker's run of the step is open from the first to the last."""

    def __init__(self, call: Call[Any], step: str) -> None:
        """`step` is its name in the shape's `units`, as in `main/rollout`."""
        self._call, self._step = call, step

    def carry_out(
        self, unit: Unit, work: Callable[[Work], Manifest], discard_state: Callable[[Unit], None] = discard
    ) -> tuple[Manifest, bool]:
        """The unit's manifest, and whether the unit was already finished; if not, `work` publishes it.

        `discard_state` deletes the state for restarts once the unit is finished.
        """
        manifest = unit.finished()
        found = manifest is not None
        if manifest is None:
            tracker, units = self._begin()
            with Journal(unit) as journal:
                manifest = work(Work(unit, journal, time.time()).after(journal.spent))
            stop_listening()
            if tracker.nests and all(read_manifest(self._call.store, each) for each in units):
                tracker.end(self._call.iteration, self._step, manifest.finished)
        discard_state(unit)
        return manifest, found

    def _begin(self) -> tuple[Tracker, list[str]]:
        """The tracker, which receives the step's progress from now on, and the step's units; the last one ends it."""
        call, tracker = self._call, Tracker.of(self._call.store)
        run = read_run(call.store) if tracker.tracks else None
        if run is None:
            return tracker, []
        units = Shape.of(run).units(call.iteration)[self._step]
        if tracker.nests:
            tracker.begin(call.iteration, self._step)
        shards = {unit.rpartition("/")[2] for unit in units}
        listen(Curves(tracker, call.iteration, self._step, f"/{call.shard:05d}" if len(shards) > 1 else ""))
        return tracker, units
