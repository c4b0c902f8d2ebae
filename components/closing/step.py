"""Record how a run ended: in its store, in the tracker, and by giving its lock back or leaving it to the next run."""

import json
import time
from typing import Any

from ..shared import layout, lock
from ..shared.errors import UserError
from ..shared.ledger import Ledger
from ..shared.protocol import Call, Result
from ..shared.run import read_run
from ..shared.store import Store
from ..shared.tracker import Tracker
from ..shared.tracking import Tracking
from ..shared.units import Manifest
from .settings import Step

VERSION = 1
FLAGS = ("run-name", "job-id", "owner", "continues", "status")
"""`--run-name`: instead of the recipe's, where not empty; `--job-id`: KFP's; `--owner`: the lock's owner where not
the job; `--continues`: true where a run that succeeds has submitted another one, to which it leaves its lock;
`--status`: KFP's word on the run, JSON."""

_SUCCEEDED = {
    # A cluster speaks as the metadata store does.
    "COMPLETE": True,
    "CACHED": True,
    "FAILED": False,
    "CANCELED": False,
    # Nobody told the store of the end: the run was cancelled, or one of its tasks could not be started.
    "NEW": False,
    "RUNNING": False,
    # The local orchestrator's words.
    "SUCCEEDED": True,
    "SUCCESS": True,
}


def run(call: Call[Step]) -> Result:
    """Close a run that succeeded or failed; one that never held its run root's lock, or lost it, changes nothing.

    Raises:
        UserError: Kubeflow has a word for how the run ended that is not known here.
    """
    status = json.loads(call.flags["status"] or "{}")
    succeeded = _has_succeeded(status)
    owner, job = lock.holder_by(call.flags)
    if lock.held_by(call.store) == (owner, job):
        _record(call.store, {"succeeded": succeeded, "error": _message(status), "job": job, "ended": time.time()})
        if not succeeded:
            Ledger(call.store, call.flags["run-name"] or call.settings.run.name).fail()
        if not succeeded or call.flags["continues"] != "true":
            lock.release(call.store, owner)
    now = int(time.time() * 1000)
    return Result(Manifest("closing", VERSION, "", "", {}, {}, {"succeeded": int(succeeded)}, 0.0, now))


def _has_succeeded(status: dict[str, Any]) -> bool:
    state = status.get("state")
    if state not in _SUCCEEDED:
        raise UserError(
            f"--status: Kubeflow says {state!r} of the run; known are {', '.join(_SUCCEEDED)}: what became of it is "
            "not recorded, and it keeps its lock"
        )
    return _SUCCEEDED[state]


def _record(store: Store, outcome: dict[str, Any]) -> None:
    """Tell the run root, unless preparation did not get far enough; and where the run failed, the tracker."""
    if known := read_run(store):
        store.write(layout.OUTCOME, json.dumps(outcome, indent=1).encode())
        if not outcome["succeeded"] and known.tracking:
            Tracker(Tracking.from_json(dict(known.tracking))).close("FAILED")


def _message(status: dict[str, Any]) -> str:
    """What KFP says went wrong."""
    error = status.get("error") or {}
    return str(error.get("message", "")) if isinstance(error, dict) else str(error)
