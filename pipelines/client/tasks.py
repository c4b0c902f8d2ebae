"""The steps of a run, found among the nodes of its workflow."""

import re
from dataclasses import dataclass
from typing import Any

from ..cluster import STEPS
from .clock import known, seconds_between

FINISHED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
"""States that a run or a task does not leave any more."""

_TASK = re.compile(rf"(?P<step>{'|'.join(STEPS)})(-(?P<iteration>\d+)(-(?P<phase>.+))?)?")


@dataclass(frozen=True)
class Task:
    """One task of a step: where it belongs, and how it gets on."""

    name: str
    step: str
    iteration: int | None
    phase: str
    state: str
    seconds: float
    error: str

    def __str__(self) -> str:
        place = "" if self.iteration is None else f"iteration {self.iteration}"
        return f"{place:<13}{self.phase:<10}{self.step:<12}"


def tasks_of(run: Any) -> list[Task]:
    """The run's tasks that have begun, in the order of their beginning; several of one name are shards."""
    nodes = (run.run_details.task_details or ()) if run.run_details else ()
    begun = sorted((node for node in nodes if known(node.start_time)), key=lambda node: node.start_time)
    return [task for node in begun if (task := _task(node))]


def _task(node: Any) -> Task | None:
    """The task of a workflow's node; None for drivers, executors, loops, conditions, which have nodes too."""
    name = node.display_name or ""
    match = _TASK.fullmatch(name)
    if not match or name.endswith("-driver"):
        return None
    number = match["iteration"]
    return Task(
        name,
        match["step"],
        int(number) if number else None,
        match["phase"] or "",
        node.state or "",
        seconds_between(node.start_time, node.end_time),
        _error(node),
    )


def _error(node: Any) -> str:
    """What the server knows of a task's failure; seldom anything."""
    errors = [node.error, *(entry.error for entry in reversed(node.state_history or ()))]
    return next((" ".join(error.message.split()) for error in errors if error and error.message), "")
