"""`--wait` and `nashflow wait`: a run followed to its end, through whatever the server goes through meanwhile."""

import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.status import Status

from nashflow.components.shared.errors import UserError

from .chain import next_name, next_run
from .clock import in_words, seconds_between
from .connection import Connection, NotFound
from .tasks import FINISHED, Task, tasks_of

_INTERRUPTED = 130
_PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}
_POLL_SECONDS = 5.0
_PATIENCE_SECONDS = 600.0
_ABSENCES = 5
"""So many polls in a row have to say that there is no such run: a server that has just come back may not know yet."""


def follow(connection: Connection, run_id: str, console: Console) -> int:
    """Show a run's steps until it ends, and those of the runs chained to it; 0: all succeeded; 1: one did not, is gone.

    Raises:
        UserError: the server does not know who asks any more, or does not know the run. ConnectionError: it stays away.
    """
    patient = replace(connection, patience=_PATIENCE_SECONDS)
    while True:
        run = _to_its_end(patient, run_id, console)
        if not run:
            return _INTERRUPTED
        if code := _conclude(connection, run, console):
            return code
        if not (name := next_name(patient, run)):
            return 0
        if not (following := _following(patient, run, name)):
            return 1
        run_id = following.run_id
        console.print(f"{following.display_name} ({run_id}): {connection.link(run_id)}", **_PLAIN)


def _to_its_end(connection: Connection, run_id: str, console: Console) -> Any | None:
    """The run, once it has ended; None if the user has had enough."""
    how = f"the run goes on: follow it with `nashflow wait {run_id} {connection.access.flags}`"
    try:
        with Status("waiting", console=console) as bar:
            return _watch(connection, run_id, _Progress(console, bar))
    except NotFound:
        raise
    except (UserError, ConnectionError) as error:
        raise type(error)(f"{error}; {how}") from None
    except KeyboardInterrupt:
        print(f"nashflow: {how}, or stop it with `nashflow cancel {run_id}`", file=sys.stderr)
        return None


def _following(connection: Connection, run: Any, name: str) -> Any | None:
    """The run of this name, which this one of a chain has submitted; None, and a line, if it is there no more."""
    for _ in range(_ABSENCES):
        if found := next_run(connection, run, name):
            return found
        time.sleep(_POLL_SECONDS)
    how = f"submit it again with `nashflow retry {run.run_id} {connection.access.flags}`"
    print(f"nashflow: {name}, which goes on with {run.display_name}, is gone: {how}", file=sys.stderr)
    return None


def _watch(connection: Connection, run_id: str, progress: "_Progress") -> Any:
    """Poll until the run has ended; the run."""
    absences = 0
    while True:
        try:
            run = connection.call(connection.client.runs.run_service_get_run, run_id=run_id)
        except NotFound:
            absences += 1
            if absences == _ABSENCES:
                raise NotFound(f"{connection.access}: the run {run_id} is gone: somebody has deleted it") from None
        else:
            absences = 0
            progress.show(run)
            if run.state in FINISHED:
                return run
        time.sleep(_POLL_SECONDS)


class _Progress:
    """A line for each task that ends; on a terminal also one that says what is at work."""

    def __init__(self, console: Console, bar: Status) -> None:
        self._console, self._bar = console, bar
        self._state = ""
        self._told: Counter[str] = Counter()

    def show(self, run: Any) -> None:
        """Tell what is new. A server may forget tasks between two polls: nothing is told twice."""
        if run.state and run.state != self._state and run.state not in FINISHED:
            self._state = run.state
            self._print(f"run {run.state.lower()}")
        seen: Counter[str] = Counter()
        for task in tasks_of(run):
            if task.state not in FINISHED:
                continue
            seen[task.name] += 1
            if seen[task.name] > self._told[task.name]:
                self._told[task.name] += 1
                self._print(_line(task))
        self._bar.update(_at_work(run))

    def _print(self, line: str) -> None:
        self._console.print(line, **_PLAIN)


def _line(task: Task) -> str:
    return f"{task}{task.state.lower():>10}{in_words(task.seconds):>14}  {task.error}".rstrip()


def _at_work(run: Any) -> str:
    running = Counter(task.name for task in tasks_of(run) if task.state not in FINISHED)
    names = ", ".join(name if count == 1 else f"{name} x {count}" for name, count in running.items())
    return f"{names or str(run.state or 'waiting').lower()}, {in_words(seconds_between(run.created_at, None))}"


def _conclude(connection: Connection, run: Any, console: Console) -> int:
    """Say how the run ended; the exit code."""
    duration = in_words(seconds_between(run.created_at, run.finished_at))
    link = connection.link(run.run_id)
    if run.state == "SUCCEEDED":
        console.print(f"succeeded in {duration}: {link}", **_PLAIN)
        return 0
    print(f"nashflow: {run.display_name} {_ending(run)} after {duration}: {link}", file=sys.stderr)
    print(f"nashflow: {_how_to_go_on(run, connection.access.flags)}", file=sys.stderr)
    return 1


def _ending(run: Any) -> str:
    """How a run ended that did not succeed; KFP calls a run failed that was cancelled."""
    states = {entry.state for entry in run.state_history or ()} | {run.state}
    if states & {"CANCELING", "CANCELED"}:
        return "was cancelled"
    failed = [task for task in tasks_of(run) if task.state == "FAILED"]
    if not failed:
        said = run.error.message if run.error else ""
        return f"ended as {run.state.lower()}" + (f": {said}" if said else "")
    return "failed: " + "; ".join(f"{task.name}: {task.error}" if task.error else task.name for task in failed)


def _how_to_go_on(run: Any, flags: str) -> str:
    failed = next((task.name for task in tasks_of(run) if task.state == "FAILED"), None)
    log = f"its log: `nashflow logs {run.run_id} --step {failed} {flags}`; " if failed else ""
    return f"{log}go on from there: `nashflow retry {run.run_id} {flags}`"
