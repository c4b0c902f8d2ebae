"""Record how a run ended: in its store, in the tracker, and by giving its lock back or leaving it to the next run."""

import json
import time
from typing import Any

from ..shared import layout, lock
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

_SUCCEEDED = ("SUCCEEDED", "SUCCESS")  # a cluster's word, and the local orchestrator's


def run(call: Call[Step]) -> Result:
    """Close a run that succeeded or failed; one that never held its run root's lock, or lost it, changes nothing."""
    status = json.loads(call.flags["status"] or "{}")
    succeeded = status.get("state") in _SUCCEEDED
    owner, job = lock.holder_by(call.flags)
    if lock.held_by(call.store) == (owner, job):
        _record(call.store, {"succeeded": succeeded, "error": _message(status), "job": job, "ended": time.time()})
        if not succeeded:
            Ledger(call.store, call.flags["run-name"] or call.settings.run.name).fail()
        if not succeeded or call.flags["continues"] != "true":
            lock.release(call.store, owner)
    now = int(time.time() * 1000)
    return Result(Manifest("closing", VERSION, "", "", {}, {}, {"succeeded": int(succeeded)}, 0.0, now))


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
