"""Record how a run ended: in its store, in the tracker, and by giving its lock back or leaving it to the next run."""

import json
import time
from typing import Any

from ..shared import layout, lock
from ..shared.protocol import Call, Result
from ..shared.run import read_run
from ..shared.tracker import Tracker
from ..shared.tracking import Tracking
from ..shared.units import Manifest
from .settings import Step

VERSION = 1
FLAGS = ("job-id", "owner", "continues", "status")
"""`--job-id`: KFP's; `--owner`: the lock's owner where it is not the job; `--continues`: true where a run that succeeds
has submitted another one, which has its lock by now; `--status`: KFP's word on the run, JSON."""

_SUCCEEDED = ("SUCCEEDED", "SUCCESS")  # a cluster's word, and the local orchestrator's


def run(call: Call[Step]) -> Result:
    """Close a run that succeeded or failed. A run that was never prepared leaves nothing behind."""
    status = json.loads(call.flags["status"] or "{}")
    succeeded = status.get("state") in _SUCCEEDED
    if known := read_run(call.store):
        outcome = {"succeeded": succeeded, "error": _message(status), "job": call.flags["job-id"], "ended": time.time()}
        call.store.write(layout.OUTCOME, json.dumps(outcome, indent=1).encode())
        if not succeeded and known.tracking:
            Tracker(Tracking.from_json(dict(known.tracking))).close("FAILED")
    if not succeeded or call.flags["continues"] != "true":
        lock.release(call.store, call.flags["owner"] or call.flags["job-id"] or "by hand")
    now = int(time.time() * 1000)
    return Result(Manifest("closing", VERSION, "", "", {}, {}, {"succeeded": int(succeeded)}, 0.0, now))


def _message(status: dict[str, Any]) -> str:
    """What KFP says went wrong."""
    error = status.get("error") or {}
    return str(error.get("message", "")) if isinstance(error, dict) else str(error)
