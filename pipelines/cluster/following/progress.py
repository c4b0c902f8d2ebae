"""Messages about a run while it is followed: a line for each finished task, and why others do not start."""

import time
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.status import Status

from nashflow.components.storage.outcome import Outcome

from ...lines import finished_line, task_line
from ..api.clock import in_words, seconds_between
from ..api.connection import Connection
from ..pods.pod_sight import PodSight
from ..pods.reasons import Failure
from ..runs.cancelled import record_cancelled
from ..runs.outcomes import is_cancelled, outcome_in_words
from ..runs.planned import planned_tasks
from ..runs.run_root import FOUND_AGAIN, run_root_of
from ..runs.tasks import FINISHED, Place, Task, begun_tasks, place_of
from .root_sight import RootSight

_LOOK_SECONDS = 8.0


class Progress:
    """The lines of one run. None comes twice, although KFP's API may forget tasks between two polls."""

    def __init__(self, connection: Connection, run: Any, console: Console, bar: Status) -> None:
        self._flags, self._console, self._bar = connection.access.flags, console, bar
        self._planned = planned_tasks(connection, run)
        self._pods = PodSight(connection, run.run_id, self._planned, self._say)
        self._root = RootSight(run, self._planned, self._say)
        self._state = ""
        self._done: set[str] = set()
        self._failed: set[str] = set()
        self._next_look = 0.0
        self.failures: list[Failure] = []
        """Why tasks failed."""
        self.outcome: Outcome | None = None
        """How the run ended, as it wrote down itself."""

    @property
    def in_recipe(self) -> bool:
        """Whether something is in its way that is a matter of the recipe."""
        return self._pods.in_recipe

    def show(self, run: Any) -> None:
        """Tell what is new; of a run that has ended, all that is left to tell."""
        over, looking = run.state in FINISHED, self._is_time_to_look()
        state = outcome_in_words(run, None)
        if state != self._state and not over:
            self._state = state
            self._say(f"run {state}")
        tasks = {task.name: task for task in begun_tasks(run)}
        lines = self._failure_lines(run, [task for task in tasks.values() if task.state == "FAILED"])
        lines += self._done_lines(tasks, looking, run.state == "SUCCEEDED")
        for _, line in sorted(lines, key=lambda each: each[0]):
            self._say(line)
        if over:
            if is_cancelled(run):
                record_cancelled(run, self._flags, self._say)
            self.outcome = self._root.outcome(run.run_id)
            if run.state == "FAILED" and not self.failures and not is_cancelled(run):
                self.failures = self._pods.all_failures()
        elif looking:
            self._show_troubles(run, [name for name, task in tasks.items() if task.state not in FINISHED])
        self._bar.update(self._at_work(run, tasks.values()))

    def _is_time_to_look(self) -> bool:
        """Whether to look at more than KFP's API again, where answers are large."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK_SECONDS
        return True

    def _show_troubles(self, run: Any, at_work: Collection[str]) -> None:
        """Tell what holds up pods; and where that has become a matter of the recipe, what follows."""
        known = self.in_recipe
        for line in self._pods.troubles(at_work):
            self._say(line)
        if self.in_recipe and not known:
            stop = f"a run keeps its settings: stop it with `nashflow cancel {run.run_id} {self._flags}`"
            self._say(f"{stop}, and submit the recipe again with --run-root {run_root_of(run)}, {FOUND_AGAIN}")

    def _done_lines(self, tasks: dict[str, Task], looking: bool, all_is_done: bool) -> list[tuple[float, str]]:
        """The lines of tasks that are done, each with the time of its end."""
        told = self._done | self._failed
        ended = [name for name, task in tasks.items() if name not in told and self._has_succeeded(task)]
        records: dict[str, dict[str, Any]] = {}
        if all_is_done:
            records = self._root.all_finished(told)
        elif ended or looking:
            records = self._root.finished(ended, told)
        lines = []
        for name in dict.fromkeys([*ended, *records]):
            self._done.add(name)
            record = records.get(name) or _by_kfp(tasks[name])
            line = finished_line((place_of(name) or Place(name))._asdict() | record, record["shards"])
            lines.append((_end(tasks.get(name), record["finished"]), line))
        return lines

    def _failure_lines(self, run: Any, failed: list[Task]) -> list[tuple[float, str]]:
        """The lines of tasks that have failed, each with the time of its end."""
        cancelled = is_cancelled(run)
        # A driver that is stopped leaves a task that never began.
        new = [task for task in failed if task.name not in self._failed and not (cancelled and task.place.driver)]
        if not new:
            return []
        self._failed.update(task.name for task in new)
        reasons = [Failure(task.name) for task in new] if cancelled else self._pods.failures([t.name for t in new])
        lines = []
        for task, failure in zip(new, reasons, strict=True):
            failure = replace(failure, said=(failure.said or task.error).removeprefix(f"{task.step}: "))
            self.failures.append(failure)
            said = ": ".join(filter(None, (self._which(task), failure.said)))
            state = "cancelled" if cancelled else "pending" if failure.waits else "failed"
            line = task_line(*task.place[:3], state, said)
            lines.append((_end(task, time.time()), line))
        return lines

    def _which(self, task: Task) -> str:
        """The failed part of a task, if it is not the whole task."""
        if task.place.driver:
            return "its driver"
        shards = self._shards(task)
        return f"{task.states.count('FAILED')} of {shards} shards" if shards > 1 else ""

    def _has_succeeded(self, task: Task) -> bool:
        return task.state == "SUCCEEDED" and len(task.states) >= self._shards(task)

    def _shards(self, task: Task) -> int:
        """The number of tasks; if the graph is not known, of those that have begun."""
        return self._planned[task.name].shards if task.name in self._planned else len(task.states)

    def _at_work(self, run: Any, tasks: Iterable[Task]) -> str:
        """The text beside the spinner."""
        names = []
        for task in tasks:
            if task.state not in FINISHED and task.name not in self._done:
                finished, shards = task.states.count("SUCCEEDED"), self._shards(task)
                names.append(f"{task.name} {finished}/{shards}" if shards > 1 else task.name)
        done = f"{len(self._done)}/{len(self._planned)} tasks, " if self._planned else ""
        return f"{', '.join(names) or self._state}, {done}{in_words(seconds_between(run.created_at, None))}"

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


def _by_kfp(task: Task) -> dict[str, Any]:
    """The data of a finished task in KFP's API."""
    end = _end(task, 0.0)
    return {"skipped": False, "seconds": task.seconds, "finished": end, "metrics": {}, "shards": len(task.states)}


def _end(task: Task | None, otherwise: float) -> float:
    """When a task ended, in seconds since the epoch, where KFP's API shows it."""
    return task.end.timestamp() if task and task.end else otherwise
