"""Tell the tracker that a step is at work on a unit of a method's iteration, and when the step is done."""

from dataclasses import dataclass
from typing import Any

from ..runtime.protocol import Call
from ..storage.run import require_run
from ..storage.units import Manifest, read_manifest
from ..tracking.tracker import Tracker
from .units import units_of


@dataclass(frozen=True)
class AtWork:
    """A step that has begun."""

    call: Call[Any]
    step: str
    tracker: Tracker

    def end(self, manifest: Manifest) -> None:
        """Say that the unit is finished: the last shard of a step ends it."""
        if not self.tracker.nests:
            return
        store, shards = self.call.store, require_run(self.call.store).recipe["prompts"]["shards"]
        units = units_of(self.call.settings.method, self.call.iteration, shards)[self.step]
        if all(read_manifest(store, unit) for unit in units):
            self.tracker.end(self.call.iteration, self.step, manifest.finished)


def begin(call: Call[Any], step: str) -> AtWork:
    """Say that a step, as `units_of` names it, begins its work; a unit that was found finished needs no word."""
    tracker = Tracker.of(call.store)
    if tracker.nests:
        tracker.begin(call.iteration, step)
    return AtWork(call, step, tracker)
