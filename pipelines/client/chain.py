"""Runs that go on under another one's run root: `retry`, and the chain of a recipe too long for one workflow."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kfp_server_api

from nashflow.components.shared.errors import UserError

from ..recipe import Recipe
from .connection import Connection, NotFound
from .package import compile_package
from .planned import planned_tasks
from .run_root import FOUND_AGAIN, run_root_of
from .submission import start_run, unique_name, upload
from .tasks import FINISHED, place_of, tasks_of


def resumed(run: Any, name: str, run_root: str, version: Any = None) -> Any:
    """A run, as the API has it, with everything that another one was given; of the same version unless one is given.

    It shares the other's lock, which has not run out yet.
    """
    given = dict(run.runtime_config.parameters or {}) | {"run_root": run_root, "takes_over": owner_of(run)}
    return kfp_server_api.V2beta1Run(
        display_name=name,
        description=f"goes on with {run.display_name} ({run.run_id})",
        experiment_id=run.experiment_id,
        pipeline_version_reference=version or run.pipeline_version_reference,
        pipeline_spec=None if version else run.pipeline_spec,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(
            parameters=given, pipeline_root=run.runtime_config.pipeline_root
        ),
        service_account=run.service_account,
        plugins_input=run.plugins_input,
    )


def submit_next(connection: Connection, recipe: Recipe, first: int, run_id: str, run_root: str) -> Any:
    """Start the run of a chain that begins with iteration `first`, unless one is at work or has succeeded; the run.

    It is given what the run `run_id` was given, whose iterations have made the policy that it begins with.

    Raises:
        UserError: the server refuses it. ConnectionError: it stays away.
    """
    before = connection.call(connection.client.runs.run_service_get_run, run_id=run_id)
    # Its own name may be another one, by the parameter run_name, which the next run is given too.
    pipeline = pipeline_name(connection, before)
    recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"name": pipeline})})
    with TemporaryDirectory(prefix="nashflow-continuation-") as folder:
        version = upload(connection, compile_package(recipe, Path(folder, "pipeline.yaml"), first)).reference
    name = _name(pipeline, first, before)
    known = next_run(connection, before, name)
    if known and not _went_wrong(known):
        return known
    # The same for every attempt, so that it is found instead of made twice.
    unused = f"{name}-{known.run_id[:8]}" if known else name
    return start_run(connection, resumed(before, unused, run_root, version))


def next_name(connection: Connection, run: Any) -> str | None:
    """The name of the run that one of a chain has submitted; None where it has submitted none."""
    tasks = tasks_of(run)
    submitted = (task.iteration for task in tasks if task.step == "continuation" and task.state == "SUCCEEDED")
    first = next(submitted, None)
    if run.state == "SUCCEEDED" and tasks and not any(task.step == "closing" for task in tasks):
        # KFP's details of a large run stop before its end.
        places = map(place_of, planned_tasks(connection, run))
        first = next((place.iteration for place in places if place and place.step == "continuation"), first)
    return None if first is None else _name(pipeline_name(connection, run), first, run)


def next_run(connection: Connection, run: Any, name: str) -> Any | None:
    """What has become of the run of this name in the chain of `run`: of it and its retries the newest.

    One that went wrong counts only if all did; None where the server knows none of them.
    """
    chain = list(chain_of(connection, run))
    versions = {version_of(other) for other in chain if other.display_name.startswith(name)}
    return min((other for other in chain if version_of(other) in versions), key=_went_wrong, default=None)


def chain_of(connection: Connection, run: Any) -> Iterator[Any]:
    """The runs of a run's chain, which are those that share its lock: the newest first, retries among them."""
    owner, method = owner_of(run), connection.client.runs.run_service_list_runs
    for other in connection.every(method, "runs", sort_by="created_at desc", experiment_id=run.experiment_id):
        if owner_of(other) == owner:
            yield other
        if other.run_id == owner:
            return


def version_of(run: Any) -> str | None:
    """The id of the pipeline version that a run is of: a retry has that of what it retries, and its iterations."""
    return run.pipeline_version_reference.pipeline_version_id if run.pipeline_version_reference else None


def retry_name(connection: Connection, run: Any) -> str:
    """A name for a retry of a run that no other run has; inside a chain it says which one's."""
    pipeline, owner, _ = run.display_name.partition(owner_of(run))
    return f"{pipeline}{owner}-{secrets.token_hex(4)}" if owner else unique_name(pipeline_name(connection, run))


def pipeline_name(connection: Connection, run: Any) -> str:
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


def _name(pipeline: str, first: int, before: Any) -> str:
    """The same for every attempt to submit this run of this chain, so that it is found instead of made twice."""
    return f"{pipeline}-{first:03d}-{owner_of(before)}"


def _went_wrong(run: Any) -> bool:
    return run.state in FINISHED and run.state != "SUCCEEDED"


def owner_of(run: Any) -> str:
    """Who holds the lock of a run's run root: the first of the runs that go on under it."""
    given = (run.runtime_config.parameters or {}) if run.runtime_config else {}
    return str(given.get("takes_over") or run.run_id)
