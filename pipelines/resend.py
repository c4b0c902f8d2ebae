"""Tell MLflow all of a run again: what it has changes nothing, and what an outage kept from it gets there."""

from nashflow.components.iterations.tracked import catch_up
from nashflow.components.storage import outcome
from nashflow.components.storage.store import Store
from nashflow.components.tracking.tracker import Tracker


def send_again(store: Store) -> None:
    """Send the iterations that are finished, the files of the report, and how the run ended, if it has.

    Nothing is done where the run is not tracked, or `MLFLOW_TRACKING_URI` not set.
    """
    if catch_up(store, again=True):
        return
    if end := outcome.read(store):
        Tracker.of(store).close(end.outcome, end.reason, int(end.ended * 1000))
