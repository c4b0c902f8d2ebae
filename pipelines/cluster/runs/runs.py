"""`nashflow cancel`, and how a run that the server knows is found."""

from typing import Any

from nashflow.components.core.errors import UserError

from ..api.connection import Connection, NotFound
from .outcomes import outcome_in_words
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
        UserError: no such run, or it has ended.
    """
    run = find_run(connection, name)
    if run.state in FINISHED:
        raise UserError(f"{run.display_name}: has ended already ({outcome_in_words(run, None)})")
    connection.call(connection.client.runs.run_service_terminate_run, run_id=run.run_id)
    return run
