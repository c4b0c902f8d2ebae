"""`nashflow cancel` and `retry`: runs that the server knows."""

import itertools
from typing import Any

from nashflow.components.shared.errors import UserError
from nashflow.components.shared.protocol import JOB

from .chain import chain_of, next_name, next_run, resumed, retry_name, version_of
from .connection import Connection, NotFound
from .outcomes import is_cancelled, outcome_in_words
from .submission import start_run
from .tasks import FINISHED


def find_run(connection: Connection, name: str) -> Any:
    """The run of this id or name.

    Raises:
        UserError: there is none, or several have the name.
    """
    runs = connection.client.runs
    try:
        return connection.call(runs.run_service_get_run, run_id=name)
    except NotFound:
        options = {"namespace": connection.namespace} if connection.namespace else {}
        found = connection.find(runs.run_service_list_runs, "runs", name, **options)
    if not found:
        raise UserError(f"{name}: {connection.access} knows no run of this id or name; `nashflow runs` lists them")
    if len(found) > 1:
        raise UserError(f"{name}: {len(found)} runs have this name; give an id: {', '.join(r.run_id for r in found)}")
    return connection.call(runs.run_service_get_run, run_id=found[0].run_id)


def cancel(connection: Connection, name: str) -> Any:
    """Stop a run; what it was.

    Raises:
        UserError: no such run, or it has ended; if another one of its chain is at work, the line names it.
    """
    run = find_run(connection, name)
    if run.state in FINISHED:
        ended = f"{run.display_name}: has ended already ({outcome_in_words(run, None)})"
        for other in chain_of(connection, run):
            if other.state not in FINISHED:
                how = f"`nashflow cancel {other.run_id} {connection.access.flags}`"
                raise UserError(f"{ended}; what goes on with it, {other.display_name}, is at work: {how}")
        raise UserError(ended)
    connection.call(connection.client.runs.run_service_terminate_run, run_id=run.run_id)
    return run


def retry(connection: Connection, name: str) -> Any:
    """Submit a run again: same version, same parameters, same run root, where finished units are found finished.

    One that succeeded too, if the next one of its chain is there no more: it is submitted again.

    Raises:
        UserError: no such run, it succeeded or is at work, another one goes on with it, or it is none of ours.
    """
    run = find_run(connection, name)
    if run.state == "SUCCEEDED" and not _is_cut_off(connection, run):
        raise UserError(f"{run.display_name}: succeeded; there is nothing to go on with")
    if run.state not in FINISHED:
        stop = "" if is_cancelled(run) else ", or `nashflow cancel` it"
        raise UserError(f"{run.display_name}: is {outcome_in_words(run, None)}; wait for its end{stop}")
    given = (run.runtime_config.parameters or {}) if run.runtime_config else {}
    if not given.get("run_root"):
        raise UserError(f"{run.display_name}: has no parameter run_root, so it was not submitted by nashflow")
    _check_nothing_goes_on(connection, run)
    run_root = given["run_root"].replace(JOB, run.run_id)
    return start_run(connection, resumed(run, retry_name(connection, run), run_root))


def _is_cut_off(connection: Connection, run: Any) -> bool:
    """Whether the run has submitted another one that is there no more."""
    following = next_name(connection, run)
    return following is not None and next_run(connection, run, following) is None


def _check_nothing_goes_on(connection: Connection, run: Any) -> None:
    """Refuse to retry what a later run of the chain is at work on, or a retry has brought to its end already."""
    for other in itertools.takewhile(lambda other: other.run_id != run.run_id, chain_of(connection, run)):
        succeeded = other.state == "SUCCEEDED" and version_of(other) == version_of(run)
        if succeeded or other.state not in FINISHED:
            state = "has succeeded" if succeeded else f"is {outcome_in_words(other, None)}"
            how = f"`nashflow wait {other.run_id} {connection.access.flags}`"
            raise UserError(f"{run.display_name}: {other.display_name} goes on with it already, and {state}: {how}")
