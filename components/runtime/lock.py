"""The run lock: one run at a time under a run root.

The lock is a small JSON object with an owner, one generation for each renewal; given back, it is an empty one. A
laptop's runner also records its process, so that a killed run's lock is known to be stale at once. The steps of a
cluster's run renew its lock, and between them it has to last while pods wait for accelerators: it lapses after a day.
The closing step gives it back earlier.

The clocks of two machines are never compared: the store, which wrote a lock, says how old it is, and it is taken over
only after it has not changed for a while on the clock of the process that waits for it.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import psutil
from pydantic import BaseModel, Field, ValidationError

from ..core.durations import in_words
from ..core.errors import UserError
from ..storage import generations, layout
from ..storage.generations import Generation
from ..storage.signs_of_life import giving, silent
from ..storage.store import Store

OWNER = "NASHFLOW_OWNER"
PROCESS_TTL_SECONDS, TTL_SECONDS = 600.0, 24 * 3600.0
"""How long a lock lasts unless it is renewed: a process's, and a cluster's run's."""
_RENEW_SECONDS, _WATCH_SECONDS, _LOOK_SECONDS = 20.0, 70.0, 1.0
"""How often a lock is renewed; how long it is watched before it is taken over, and how often it is looked at then."""
_FREE = b"{}"
# Linux counts a process's start from a boot time that moves when the clock is set.
_CLOCK_STEP_SECONDS = 5.0


class _Lock(BaseModel):
    owner: str
    job: str = ""
    host: str
    pid: int | None = Field(ge=1, lt=2**31)
    started: float | None = Field(allow_inf_nan=False)


def acquire(store: Store, owner: str, *, job: str = "", process: bool = False) -> None:
    """Take the lock of a run root for `owner`, or renew it; with `process`, it dies with the calling process.

    `job` is the one of the owner's that is at work: runs that go on with another one have its owner.

    Raises:
        UserError: another live run holds it.
    """
    while True:
        held = _parsed(current := generations.newest(store, layout.LOCK))
        if current and held:
            age = generations.age(store, layout.LOCK, current)
            if _is_of_the_dead(held):
                held = {}
            elif age >= _lasts(held):
                if not silent(store, layout.LOCK, current, _WATCH_SECONDS, _LOOK_SECONDS):
                    continue
                held = {}
            elif not _renewable(held, owner, process):
                raise UserError(
                    f"{store.uri}: in use by the run {held['owner']} on {held['host']} (its last sign of life: "
                    f"{in_words(age)} ago): wait for it to end, or choose another run root; if it is gone for good, "
                    f"give a run on Kubeflow the parameter takes_over: {held['owner']}, or delete all of "
                    f"{store.location(layout.LOCK)}/"
                )
        holder = {key: held[key] for key in ("host", "pid", "started")} if held and not process else _holder(process)
        if _put(store, {"owner": owner, "job": job, **holder}, current):
            return


def lock_identity(flags: Mapping[str, str]) -> tuple[str, str]:
    """The owner, and its job, by the flags of a step that takes or gives back the lock.

    `nashflow run` holds the lock itself, and names the owner by NASHFLOW_OWNER in the environment.
    """
    job = flags["job-id"]
    return os.environ.get(OWNER) or flags["takes-over"] or job or "by hand", job


def exists(store: Store) -> bool:
    """Whether there is a lock: one that is held, has lapsed, or has been given back."""
    newest = generations.newest(store, layout.LOCK)
    return newest is not None and (newest.data == _FREE or bool(_parsed(newest)))


def held_by(store: Store) -> tuple[str, str]:
    """The owner and job that hold the lock, alive or not; empty if it is free."""
    held = _parsed(generations.newest(store, layout.LOCK))
    return held.get("owner", ""), held.get("job", "")


def in_use_by(store: Store) -> str:
    """The owner of a lock that is alive; empty if there is none."""
    held = _parsed(current := generations.newest(store, layout.LOCK))
    if not current or not held or _is_of_the_dead(held):
        return ""
    return str(held["owner"]) if generations.age(store, layout.LOCK, current) < _lasts(held) else ""


def release(store: Store, owner: str, job: str | None = None) -> None:
    """Give the lock back, if `owner` still holds it, for this `job` if one is given."""
    while (held := _parsed(current := generations.newest(store, layout.LOCK))).get("owner") == owner:
        if job not in (None, held["job"]):
            return
        if generations.put(store, layout.LOCK, _FREE, current):
            return


def remove(store: Store) -> None:
    """Delete the files of a released lock, before its run root is deleted; a held lock stays."""
    if (current := generations.newest(store, layout.LOCK)) and not _parsed(current):
        generations.remove(store, layout.LOCK, current)


@contextlib.contextmanager
def renewing(store: Store) -> Iterator[None]:
    """Within this block the lock of a run root does not expire, whoever holds it."""
    with giving(lambda: _renew(store), _RENEW_SECONDS):
        yield


def _renew(store: Store) -> None:
    if held := _parsed(current := generations.newest(store, layout.LOCK)):
        _put(store, held, current)


def _parsed(generation: Generation | None) -> dict[str, Any]:
    """The lock, or {} if it is free. A damaged lock counts as free, because a live run writes it whole."""
    try:
        return _Lock.model_validate_json(generation.data if generation else _FREE).model_dump()
    except ValidationError:
        return {}


def _put(store: Store, lock: dict[str, Any], previous: Generation | None) -> bool:
    return generations.put(store, layout.LOCK, json.dumps(lock).encode(), previous)


def _holder(process: bool) -> dict[str, Any]:
    this = psutil.Process()
    alive = {"pid": this.pid, "started": this.create_time()} if process else {"pid": None, "started": None}
    return {"host": socket.gethostname(), **alive}


def _renewable(held: dict[str, Any], owner: str, process: bool) -> bool:
    """Whether a live lock is the owner's own; two live processes are two runs, whatever their name."""
    if held["owner"] != owner:
        return False
    return not process or held["pid"] is None or (held["host"], held["pid"]) == (socket.gethostname(), os.getpid())


def _lasts(lock: dict[str, Any]) -> float:
    """Seconds that a lock lasts without renewal."""
    return TTL_SECONDS if lock["pid"] is None else PROCESS_TTL_SECONDS


def _is_of_the_dead(lock: dict[str, Any]) -> bool:
    """Whether it is of a process of this machine that is no more."""
    if lock["pid"] is None or lock["started"] is None or lock["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(lock["pid"])
        same = abs(process.create_time() - lock["started"]) < _CLOCK_STEP_SECONDS
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
