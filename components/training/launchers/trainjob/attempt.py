"""One attempt at a training by a TrainJob: attach to it or make it, follow it to its end, delete it."""

import contextlib
import math
import sys
import time
from typing import Any, NoReturn

from ....core.errors import Pending, TryAgain, UserError
from ....core.whole_lines import say
from ....runtime.protocol import PENDING, TRY_AGAIN, USER_ERROR
from .api import Api
from .logs import Logs
from .manifest import DIGEST
from .nodes import Failure, failure, has_ended, waiting

Json = dict[str, Any]

_KINDS = {UserError: USER_ERROR, Pending: PENDING, TryAgain: TRY_AGAIN}
_POLL_SECONDS = 1.0
_SETTLE_SECONDS = 5.0
_DRAIN_SECONDS = 10.0
_SAID_SECONDS = 30.0
_LAST_SECONDS = 10.0  # of the twenty that a stopped pod has


def carry_out(api: Api, job: Json) -> None:
    """Run a TrainJob to its end, with its logs on stderr, and delete it, however it ends.

    One of the same name that runs the same is attached to: an earlier attempt has lost its pod. Any other of that name
    is deleted first.

    Raises:
        UserError, Pending, TryAgain: a node says so, by its exit code; or the TrainJob cannot run, or is gone, or the
            API stays away, and then it goes on without this attempt. SystemExit: with any other exit code of a node.
    """
    name, nodes = job["metadata"]["name"], job["spec"]["trainer"]["numNodes"]
    identity = ""
    try:
        identity = _begin(api, job)
        failed = _follow(api, name, nodes, identity)
    except TryAgain:
        raise
    except BaseException:
        with contextlib.suppress(Exception):
            api.delete(name, identity, _LAST_SECONDS)
        raise
    last = api.last_line(failed.pod, failed.restarted) if isinstance(failed, Failure) else ""
    api.delete(name, identity)
    if failed:
        _leave(name, failed, last)


def _begin(api: Api, job: Json) -> str:
    """The UID of the TrainJob, found or made."""
    name, digest = job["metadata"]["name"], job["metadata"]["annotations"][DIGEST]
    while True:
        there = api.job(name)
        if there is None:
            if identity := api.create(job):
                say(f"TrainJob {name}: made, {job['spec']['trainer']['numNodes']} nodes")
                return identity
        elif _is_same(there, digest):
            say(f"TrainJob {name}: found at work, and followed")
            return str(there["metadata"]["uid"])
        else:
            api.delete(name, there["metadata"]["uid"])
            time.sleep(_POLL_SECONDS)


def _is_same(job: Json, digest: str) -> bool:
    """Whether it runs what it should, and has neither failed nor been told to go."""
    metadata = job["metadata"]
    same = metadata.get("annotations", {}).get(DIGEST) == digest
    return same and "deletionTimestamp" not in metadata and not _condition(job, "Failed")


def _follow(api: Api, name: str, nodes: int, identity: str) -> Failure | str | None:
    """Wait for the end: None if all is done, or else the node that failed, or why the whole of it did."""
    logs, held_up, since = Logs(api), "", math.inf
    try:
        while True:
            pods = api.pods(name)
            job = api.job(name)
            if job is None or job["metadata"]["uid"] != identity or "deletionTimestamp" in job["metadata"]:
                raise TryAgain(f"the TrainJob {name} is gone: somebody else deleted it, or the run that it belonged to")
            logs.follow(pods)
            if first := failure(pods):
                return _settled(api, name, logs) or first
            if _condition(job, "Complete"):
                logs.follow(ended := api.pods(name))
                logs.drain([pod["metadata"]["name"] for pod in ended], _DRAIN_SECONDS)
                return None
            if condition := _condition(job, "Failed"):
                return f"{condition['reason']}: {condition['message']}"
            if (wait := _held_up(api, job, waiting(pods, nodes))) != held_up:
                held_up, since = wait, time.monotonic()
            elif wait and time.monotonic() - since >= _SAID_SECONDS:
                say(f"TrainJob {name} waits: {wait}")
                since = time.monotonic()
            time.sleep(_POLL_SECONDS)
    finally:
        logs.close()


def _settled(api: Api, name: str, logs: Logs) -> Failure | None:
    """The node that failed first, once the others have had time to say what they have to say."""
    end = time.monotonic() + _SETTLE_SECONDS
    while not all(map(has_ended, pods := api.pods(name))) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    logs.follow(pods)
    logs.drain([pod["metadata"]["name"] for pod in pods if has_ended(pod)], _DRAIN_SECONDS)
    return failure(pods)


def _held_up(api: Api, job: Json, wait: str) -> str:
    """Why a TrainJob does not begin, with Trainer's own reason where it makes no pods."""
    if condition := _condition(job, "Suspended"):
        return str(condition["message"])
    warnings = api.warnings(job["metadata"]["name"]) if wait.endswith("pods are made") else []
    return f"{wait}: {warnings[-1]}" if warnings else wait


def _condition(job: Json, kind: str) -> Json | None:
    conditions = job.get("status", {}).get("conditions", [])
    return next((dict(each) for each in conditions if each["type"] == kind and each["status"] == "True"), None)


def _leave(name: str, failed: Failure | str, last: str) -> NoReturn:
    """Leave as the node left: by its exit code, with its last line."""
    if isinstance(failed, str):
        raise TryAgain(f"the TrainJob {name} failed: {failed}")
    how = f"ended with exit code {failed.code}{f' ({failed.reason})' if failed.reason else ''}"
    line = f"node {failed.node} of the TrainJob {name} {how}{f': {last}' if last else ''}"
    for kind, code in _KINDS.items():
        if failed.code == code:
            raise kind(line)
    say(line)
    sys.exit(failed.code)
