"""Tell the tracker that a step is at work on a unit of a method's iteration, how it gets on, and when it is done."""

from dataclasses import dataclass
from typing import Any

from ..runtime.progress import listen, stop_listening
from ..runtime.protocol import Call
from ..storage.run import require_run
from ..storage.units import Manifest, read_manifest
from ..tracking.curves import Curves
from ..tracking.tracker import Tracker
from .units import units_of


@dataclass(frozen=True)
class AtWork:
    """A step that has begun."""

    call: Call[Any]
    step: str
    tracker: Tracker
    units: list[str]
    """The step's, of all shards; empty where there is no tracker."""

    def end(self, manifest: Manifest) -> None:
        """Say that the unit is finished: the last shard of a step ends it."""
        stop_listening()
        if self.tracker.nests and all(read_manifest(self.call.store, unit) for unit in self.units):
            self.tracker.end(self.call.iteration, self.step, manifest.finished)


def begin(call: Call[Any], step: str) -> AtWork:
    """Say that a step, as `units_of` names it, begins its work; a unit that was found finished needs no word."""
    tracker = Tracker.of(call.store)
    if not tracker.uri:
        return AtWork(call, step, tracker, [])
    shards = require_run(call.store).recipe["prompts"]["shards"]
    units = units_of(call.settings.method, call.iteration, shards)[step]
    if tracker.nests:
        tracker.begin(call.iteration, step)
    if tracker.uri:
        listen(Curves(tracker, call.iteration, step, f"/{call.shard:05d}" if len(units) > 1 else ""))
    return AtWork(call, step, tracker, units)
