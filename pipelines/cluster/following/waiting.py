"""`--wait` and `nashflow wait`: a run followed to its end, through whatever the server goes through meanwhile."""

import sys
import time
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.status import Status

from nashflow.components.core.errors import UserError

from ..api.connection import Connection, NotFound
from ..runs.cancelled import record_cancelled
from ..runs.outcomes import is_cancelled, outcome_in_words
from ..runs.tasks import FINISHED
from ..runs.train_jobs import delete_train_jobs
from .ending import conclude
from .progress import Progress

_INTERRUPTED = 130
_POLL_SECONDS = 5.0
_PATIENCE_SECONDS = 600.0
_ABSENCES = 5
"""So many polls in a row have to say that there is no such run: a server that has just come back may not know yet."""


def follow(connection: Connection, run_id: str, console: Console) -> int:
    """Show a run's steps until it ends; 0: it succeeded; 1: it did not.

    Raises:
        UserError: the server does not know who asks any more, or does not know the run. ConnectionError: it stays away.
    """
    patient = replace(connection, patience=_PATIENCE_SECONDS)
    ended = _to_its_end(patient, run_id, console)
    return conclude(connection, *ended, console) if ended else _INTERRUPTED


def until_stopped(connection: Connection, run: Any, console: Console) -> None:
    """Wait for the end of a run that is being cancelled, and record it, which the run itself cannot.

    Raises:
        UserError: the server does not know who asks any more, or does not know the run. ConnectionError: it stays away.
    """
    patient = replace(connection, patience=_PATIENCE_SECONDS)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    say(f"{run.display_name} ({run.run_id}): being cancelled")
    try:
        with Status("its pods are being stopped", console=console):
            while run.state not in FINISHED:
                time.sleep(_POLL_SECONDS)
                run = patient.call(patient.client.runs.run_service_get_run, run_id=run.run_id)
    except KeyboardInterrupt:
        how = f"`nashflow wait {run.run_id} {connection.access.flags}` records how"
        print(f"nashflow: it ends unobserved: {how}", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    if is_cancelled(run):
        delete_train_jobs(connection, run, say)
        record_cancelled(run, connection.access.flags, say)
    say(f"{run.display_name}: {outcome_in_words(run, None)}")


def _to_its_end(connection: Connection, run_id: str, console: Console) -> tuple[Any, Progress] | None:
    """The run, once it has ended, and what was learnt of it; None if the user has had enough."""
    this = f"{run_id} {connection.access.flags}"
    how = f"the run continues: follow it with `nashflow wait {this}`"
    try:
        with Status("waiting", console=console) as bar:
            return _watch(connection, run_id, console, bar)
    except NotFound:
        raise
    except (UserError, ConnectionError) as error:
        raise type(error)(f"{error}; {how}") from None
    except KeyboardInterrupt:
        print(f"nashflow: {how}, or stop it with `nashflow cancel {this}`", file=sys.stderr)
        return None


def _watch(connection: Connection, run_id: str, console: Console, bar: Status) -> tuple[Any, Progress]:
    """Poll until the run has ended; the run, and what was told of it."""
    absences, progress = 0, None
    while True:
        try:
            run = connection.call(connection.client.runs.run_service_get_run, run_id=run_id)
        except NotFound:
            absences += 1
            if absences == _ABSENCES:
                raise NotFound(f"{connection.access}: the run {run_id} no longer exists: it was deleted") from None
        else:
            absences = 0
            progress = progress or Progress(connection, run, console, bar)
            progress.show(run)
            if run.state in FINISHED:
                return run, progress
        time.sleep(_POLL_SECONDS)
