"""Tell MLflow all of a run again: what it has changes nothing, and what an outage kept from it gets there."""

from collections.abc import Mapping

from nashflow.components.iterations.tracked import send_iteration
from nashflow.components.iterations.units import Shape
from nashflow.components.prompts.counts import figures
from nashflow.components.storage import layout, outcome
from nashflow.components.storage.run import Run
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import read_manifest
from nashflow.components.tracking.tracker import Tracker


def send_again(store: Store, run: Run, report: Mapping[str, bytes]) -> None:
    """Send the iterations that are finished, the files of the report, and how the run ended, if it has.

    Nothing is done where the run is not tracked, or `MLFLOW_TRACKING_URI` not set.
    """
    tracker = Tracker.of(store)
    if not tracker.uri:
        return
    shape = Shape.of(run)
    if run.prompts and (prepared := read_manifest(store, layout.PREPARATION)):
        tracker.prompts(figures(run.prompts), prepared.finished)
    for iteration in range(run.recipe["run"]["iterations"] + 1):
        if all(read_manifest(store, unit) for units in shape.units(iteration).values() for unit in units):
            send_iteration(tracker, store, shape, iteration)
    tracker.report(report)
    if end := outcome.read(store):
        tracker.close(end.outcome, end.reason, int(end.ended * 1000))
