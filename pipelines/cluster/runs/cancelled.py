"""The end of a cancelled run, recorded from here: Argo starts no exit task any more that would do it."""

import os
from collections.abc import Callable
from typing import Any

from nashflow.components.runtime import lock
from nashflow.components.storage import outcome
from nashflow.components.storage.run import read_run
from nashflow.components.storage.store import Store, open_store
from nashflow.components.tracking.tracker import Tracker

from ...steps import only
from ..api.bounded import bounded
from ..api.sight import Sight
from .run_root import outcome_of, run_root_of

_SECONDS = 120.0
_REASON = "stopped through Kubeflow Pipelines"


def record_cancelled(run: Any, flags: str, say: Callable[[str], None]) -> None:
    """Record in its run root, and in MLflow, that a run was cancelled; say it where that cannot be done from here.

    `flags` are the options of `nashflow` that lead to the server.
    """
    if uri := run_root_of(run):
        again = f"`nashflow wait {run.run_id} {flags}`"
        missed = f"its end is not recorded there; with the store's keys {again} does it"
        sight = Sight(f"the run root {uri}", missed, say)
        if sight.of(lambda: bounded(lambda: _record(open_store(uri), run.run_id), _SECONDS), False):
            say(f"its run in MLflow stays open: with MLFLOW_TRACKING_URI set, {again} ends it")


def _record(store: Store, job: str) -> bool:
    """True if MLflow has yet to be told.

    Where the exit task was faster than the end, it was told that the run goes on, and has recorded a failure.
    """
    holder, said = lock.held_by(store), outcome_of(store, job)
    if holder[1] == job:
        closed, known = only("exit").module.close(store, holder, "cancelled", _REASON), read_run(store)
        return bool(closed and known and known.tracking and not os.environ.get("MLFLOW_TRACKING_URI"))
    if holder == ("", "") and said and said.outcome in ("failed", "cancelled"):
        if said.outcome == "failed":
            outcome.write(store, "cancelled", _REASON, job)
        Tracker.of(store).close("cancelled", _REASON, int(said.ended * 1000))
    return False
