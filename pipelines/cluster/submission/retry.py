"""`nashflow retry`: a run that has ended, submitted again under its run root."""

import itertools
from collections.abc import Iterator
from typing import Any

import kfp_server_api

from nashflow.components.core.errors import UserError

from ..api.connection import Connection, NotFound
from ..runs.outcomes import is_cancelled, outcome_in_words
from ..runs.run_root import FOUND_AGAIN, run_root_of
from ..runs.runs import find_run
from ..runs.tasks import FINISHED
from .submission import start_run, unique_name

_GOES_ON = "; goes on with "


def retry(connection: Connection, name: str) -> Any:
    """Submit a run again: same version, same parameters, same run root, where finished units are found finished.

    Raises:
        UserError: no such run, it succeeded or is at work, another one goes on with it, its pipeline is deleted, or it
            is none of ours.
    """
    run = find_run(connection, name)
    if run.state == "SUCCEEDED":
        raise UserError(f"{run.display_name}: succeeded; there is nothing to resume")
    if run.state not in FINISHED:
        stop = "" if is_cancelled(run) else ", or `nashflow cancel` it"
        raise UserError(f"{run.display_name}: is {outcome_in_words(run, None)}; wait for its end{stop}")
    if not run_root_of(run):
        raise UserError(f"{run.display_name}: has no parameter run_root, so it was not submitted by nashflow")
    _check_nothing_goes_on(connection, run)
    return start_run(connection, _again(run, unique_name(_pipeline_name(connection, run))))


def _check_nothing_goes_on(connection: Connection, run: Any) -> None:
    """Refuse to retry what a later run is at work on, or a retry has brought to its end already."""
    for other in itertools.takewhile(lambda other: other.run_id != run.run_id, _sharing_its_lock(connection, run)):
        succeeded = other.state == "SUCCEEDED" and _version_of(other) == _version_of(run)
        if succeeded or other.state not in FINISHED:
            state = "has succeeded" if succeeded else f"is {outcome_in_words(other, None)}"
            how = f"`nashflow wait {other.run_id} {connection.access.flags}`"
            raise UserError(f"{run.display_name}: {other.display_name} has already resumed it, and {state}: {how}")


def _sharing_its_lock(connection: Connection, run: Any) -> Iterator[Any]:
    """The runs that share a run's lock, itself among them: the newest first."""
    owner, method = _owner_of(run), connection.client.runs.run_service_list_runs
    for other in connection.every(method, "runs", sort_by="created_at desc", experiment_id=run.experiment_id):
        if _owner_of(other) == owner:
            yield other
        if other.run_id == owner:
            return


def _again(run: Any, name: str) -> Any:
    """A run of this name, as the API has it, with everything that another one was given.

    It shares the other's lock, which has not run out yet.
    """
    given = dict(run.runtime_config.parameters) | {"run_root": run_root_of(run), "takes_over": _owner_of(run)}
    described = (run.description or "").partition(_GOES_ON)[0]
    return kfp_server_api.V2beta1Run(
        display_name=name,
        description=f"{described}{_GOES_ON}{run.display_name} ({run.run_id})".removeprefix("; "),
        experiment_id=run.experiment_id,
        pipeline_version_reference=run.pipeline_version_reference,
        pipeline_spec=run.pipeline_spec,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(
            parameters=given, pipeline_root=run.runtime_config.pipeline_root
        ),
        service_account=run.service_account,
        plugins_input=run.plugins_input,
    )


def _pipeline_name(connection: Connection, run: Any) -> str:
    """The name of the pipeline that a run is of; its own where it is of none.

    Raises:
        UserError: it is deleted. ConnectionError: the server stays away.
    """
    if not run.pipeline_version_reference:
        return str(run.display_name)
    method = connection.client.pipelines.pipeline_service_get_pipeline
    try:
        return str(connection.call(method, pipeline_id=run.pipeline_version_reference.pipeline_id).display_name)
    except NotFound:
        again = f"submit the recipe again with --run-root {run_root_of(run)}, {FOUND_AGAIN}"
        raise UserError(f"{run.display_name}: its pipeline is deleted: {again}") from None


def _version_of(run: Any) -> str | None:
    """The id of the pipeline version that a run is of: a retry has that of what it retries."""
    return run.pipeline_version_reference.pipeline_version_id if run.pipeline_version_reference else None


def _owner_of(run: Any) -> str:
    """Who holds the lock of a run's run root: the first of the runs that go on under it."""
    given = (run.runtime_config.parameters or {}) if run.runtime_config else {}
    return str(given.get("takes_over") or run.run_id)
