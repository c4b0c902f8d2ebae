"""MLflow: is it there, can a run with a metric and an artifact be made in the experiment, and be deleted again?"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nashflow.components.core.errors import UserError
from nashflow.components.core.redaction import redact
from nashflow.components.tracking.experiment import find_experiment
from nashflow.components.tracking.mlflow_store import connect, environment, failure_line, failures, quiet

from .case import Case
from .cluster import NotTried
from .finding import Finding

if TYPE_CHECKING:
    from mlflow import MlflowClient

_NAME = "MLflow"
_VARIABLE = "MLFLOW_TRACKING_URI"
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


def mlflow_server(case: Case) -> Iterator[Finding]:
    """The experiment, and a probe run that is deleted again."""
    uri, _ = environment()
    if not uri:
        if _VARIABLE in case.variables():
            raise NotTried(
                f"the recipe takes {_VARIABLE} from the cluster, and here it is not set",
                f"set {_VARIABLE} to an address of the server that leads there from here",
            )
        yield Finding(_NAME, "not needed", _VARIABLE, "neither set here nor named by the recipe: runs are not tracked")
        return
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    where = redact(uri)
    try:
        with quiet():
            yield from _tried(connect(uri), where)
    except failures() as error:
        advice = f"set {_VARIABLE} to a server that answers; see that it takes this host name and these credentials"
        yield Finding(_NAME, "failed", f"experiments of {where}", failure_line(error), advice)


def _tried(client: "MlflowClient", where: str) -> Iterator[Finding]:
    client.search_experiments(max_results=1)
    yield Finding(_NAME, "ok", f"experiments of {where}", "answers")
    tried = "the experiment"
    try:
        found = find_experiment(client)
    except UserError as error:
        advice, _, said = str(error).rpartition(": ")
        yield Finding(_NAME, "failed", tried, said, advice)
        return
    with _experiment(client, found) as experiment:
        yield Finding(_NAME, "ok", tried, "is there" if found else "is not there yet, and can be made")
        yield from _run(client, experiment)


@contextmanager
def _experiment(client: "MlflowClient", known: str) -> Iterator[str]:
    """The experiment, or one of a name of its own, because MLflow keeps the names of deleted ones."""
    made = known or client.create_experiment(f"nashflow-doctor-{uuid.uuid4().hex}")
    try:
        yield made
    finally:
        if not known:
            client.delete_experiment(made)


def _run(client: "MlflowClient", experiment: str) -> Iterator[Finding]:
    run = client.create_run(experiment, run_name="nashflow doctor")
    try:
        client.log_metric(run.info.run_id, "probe", 1.0)
        yield Finding(_NAME, "ok", "a run with a metric", "made")
        yield _artifact(client, run.info.run_id, run.info.artifact_uri)
    finally:
        client.delete_run(run.info.run_id)
    yield Finding(_NAME, "ok", "deleting the run", "deleted")


def _artifact(client: "MlflowClient", run_id: str, location: str) -> Finding:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    tried = f"an artifact at {redact(location)}"
    try:
        client.log_text(run_id, "NashFlow", "probe.txt")
        repository: Any = get_artifact_repository(location, tracking_uri=client.tracking_uri)
        repository.delete_artifacts("probe.txt")
    except failures() as error:
        advice = "let the server proxy artifacts (--serve-artifacts), or grant the right to write there"
        return Finding(_NAME, "failed", tried, failure_line(error), advice)
    return Finding(_NAME, "ok", tried, "written, and deleted again")
