"""`report/waits/<task>.json`: what tasks of a run wait for that comes from outside, such as people's verdicts."""

import json

from . import layout
from .store import Store


def note(store: Store, task: str, said: str, job: str) -> None:
    """Record, for the run's end, that a task of the KFP run `job` waits, and what for."""
    store.write(_key(task), json.dumps({"job": job, "reason": said}).encode())


def forget(store: Store, task: str) -> None:
    """Delete what was recorded of a task."""
    store.delete(_key(task))


def noted(store: Store, job: str) -> list[str]:
    """What the tasks of the KFP run `job` wait for."""
    notes = [json.loads(store.read(key)) for key in store.list(layout.WAITS)]
    return [note["reason"] for note in notes if note["job"] == job]


def _key(task: str) -> str:
    return f"{layout.WAITS}/{task}.json"
