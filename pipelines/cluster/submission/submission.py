"""`nashflow submit`: pipeline, version and experiment made or used again, and one run of them."""

import re
import secrets
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import kfp_server_api

from nashflow.components.core.errors import UserError, one_line
from nashflow.components.runtime.protocol import JOB

from ...recipe import Recipe
from ..api.clock import known
from ..api.connection import Connection
from ..api.creation import create_once
from .package import Package, compile_package, submitted_root_of

_MARK = "Made by nashflow"
_DESCRIPTION = f"{_MARK}: one version for each recipe and its settings."


class Uploaded(NamedTuple):
    """A recipe as the server knows it."""

    pipeline_id: str
    version_id: str

    @property
    def reference(self) -> Any:
        """The version, as runs and recurring runs refer to it."""
        return kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=self.pipeline_id, pipeline_version_id=self.version_id
        )


def submit(
    connection: Connection,
    recipe: Recipe,
    run_root: str = "",
    experiment: str = "nashflow",
    service_account: str = "",
    package: Path | None = None,
    first: int = 1,
    name: str = "",
    settings: str = "",
    takes_over: str = "",
) -> Any:
    """Start a run of a recipe, from iteration `first` on; the run. `package` is where the compiled pipeline is kept.

    `settings` are the run's own, besides the recipe's; `takes_over` is a run that has ended, whose lock it may take.
    `{job}` in the run root becomes the run's name. A run of this `name` that there is already is the one.

    Raises:
        UserError: the recipe, the run root or a right is missing; the name is another recipe's run's.
        ConnectionError: the server stays away.
    """
    with TemporaryDirectory(prefix="nashflow-submit-") as folder:
        compiled = compile_package(recipe, package or Path(folder, "pipeline.yaml"), first)
        display_name = name or unique_name(compiled.name)
        root = submitted_root_of(compiled, run_root)
        if JOB in root and not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", display_name):
            raise UserError(
                f"--name {name}: becomes the run's folder, for {JOB} in {root}: set letters, digits, dashes, dots and "
                "underscores, no dot first"
            )
        given = {"run_root": root.replace(JOB, display_name), "set": settings, "takes_over": takes_over}
        uploaded = upload(connection, compiled)
    run = start_run(
        connection,
        kfp_server_api.V2beta1Run(
            display_name=display_name,
            description=with_set(compiled.description, settings),
            experiment_id=experiment_id(connection, experiment),
            pipeline_version_reference=uploaded.reference,
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=given),
            service_account=service_account or compiled.service_account or None,
            plugins_input=tracked_in(experiment),
        ),
    )
    if _is_of(run) != (uploaded.version_id, given):
        raise UserError(f"--name {name}: is a run of another recipe, or of other settings: choose another name")
    return run


def _is_of(run: Any) -> tuple[str | None, dict[str, str]]:
    """The version that a run is of, and what it is given."""
    version, config = run.pipeline_version_reference, run.runtime_config
    return version.pipeline_version_id if version else None, dict((config.parameters if config else None) or {})


def with_set(description: str, settings: str) -> str:
    """A recipe's description with what was set for one run, or one schedule, of it."""
    return f"{description}; set {settings}" if settings else description


def upload(connection: Connection, package: Package) -> Uploaded:
    """The pipeline and its version of this digest, made where they are missing.

    Raises:
        UserError: the server refuses it, or knows a pipeline of this name that is not nashflow's.
    """
    pipelines = connection.client.pipelines
    body = kfp_server_api.V2beta1Pipeline(
        name=package.name, display_name=package.name, description=_DESCRIPTION, namespace=connection.namespace
    )
    find = partial(_pipeline, connection, package.name)
    pipeline = find() or create_once(
        connection, f"the pipeline {package.name}", find, pipelines.pipeline_service_create_pipeline, body
    )
    find = partial(_version, connection, pipeline.pipeline_id, package.version)
    version = find() or create_once(
        connection,
        f"version {package.version} of {package.name}",
        find,
        connection.client.pipeline_uploads.upload_pipeline_version,
        str(package.file),
        name=package.version,
        description=package.description,
        pipelineid=pipeline.pipeline_id,
    )
    return Uploaded(pipeline.pipeline_id, version.pipeline_version_id)


def _pipeline(connection: Connection, name: str) -> Any | None:
    """The pipeline of this name, if there is one and nashflow has made it."""
    method = connection.client.pipelines.pipeline_service_list_pipelines
    options = {"namespace": connection.namespace} if connection.namespace else {}
    found = next(iter(connection.find(method, "pipelines", name, **options)), None)
    if found is None or (found.description or "").startswith(_MARK):
        return found
    said = one_line(found.description or "")
    made = f", made {found.created_at:%Y-%m-%d}" if known(found.created_at) else ""
    raise UserError(
        f"the pipeline {name} belongs to someone else ({repr(said) if said else 'without a description'}{made}): "
        "set another run.name in the recipe"
    )


def _version(connection: Connection, pipeline_id: str, name: str) -> Any | None:
    method = connection.client.pipelines.pipeline_service_list_pipeline_versions
    return next(iter(connection.find(method, "pipeline_versions", name, pipeline_id=pipeline_id)), None)


def experiment_id(connection: Connection, name: str) -> str:
    """The id of the experiment of this name, made where it is missing."""
    experiments = connection.client.experiments
    options = {"namespace": connection.namespace} if connection.namespace else {}

    def find() -> Any | None:
        method = experiments.experiment_service_list_experiments
        return next(iter(connection.find(method, "experiments", name, **options)), None)

    body = kfp_server_api.V2beta1Experiment(display_name=name, namespace=connection.namespace)
    create = experiments.experiment_service_create_experiment
    return str((find() or create_once(connection, f"the experiment {name}", find, create, body)).experiment_id)


def tracked_in(experiment: str) -> dict[str, Any]:
    """Settings for KFP's MLflow plugin, if the server has it: use the experiment of the same name."""
    return {"mlflow": {"experiment_name": experiment}}


def unique_name(pipeline: str) -> str:
    """A name for a run that no other run has, by which it is found again after a request that broke."""
    return f"{pipeline}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


def start_run(connection: Connection, body: Any) -> Any:
    """Start one run, whatever becomes of the request; its display name has to be its own.

    A run of this name that is there already is the one: an earlier attempt has made it. No request is sent twice.

    Raises:
        UserError: the server refuses it. ConnectionError: it stays away, or it is not known what became of the request.
    """
    runs = connection.client.runs

    def find() -> Any | None:
        options = {"experiment_id": body.experiment_id}
        return next(iter(connection.find(runs.run_service_list_runs, "runs", body.display_name, **options)), None)

    what = f"the run {body.display_name}"
    return find() or create_once(connection, what, find, runs.run_service_create_run, body, attempts=1)
