"""The MLflow experiment that runs are made in."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..core.redaction import redact
from .mlflow_store import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient


def find_experiment(client: "MlflowClient") -> str:
    """Id of the experiment that MLflow's own variables name, or of `nashflow`; empty if there is none of that name yet.

    Raises:
        UserError: no run can be made in it, because it is deleted, or there is none of this id.
    """
    from mlflow.exceptions import MlflowException

    chosen, name = os.environ.get("MLFLOW_EXPERIMENT_ID", ""), _name()
    try:
        found = client.get_experiment(chosen) if chosen else client.get_experiment_by_name(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise UserError(
            f"set MLFLOW_EXPERIMENT_ID to an experiment of {_where(client)}, or unset it: there is no {chosen}"
        ) from None
    if found and found.lifecycle_stage == "deleted":
        restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
        command = f"MLFLOW_TRACKING_URI={shlex.quote(_where(client))} {restore}"
        another = "set MLFLOW_EXPERIMENT_ID to another" if chosen else "set MLFLOW_EXPERIMENT_NAME to another name"
        raise UserError(f"{another}, or restore it ({command}): the experiment {found.name} of MLflow is deleted")
    return found.experiment_id if found else ""


def make_experiment(client: "MlflowClient") -> str:
    """Id of that experiment, made where there is none.

    Raises:
        UserError: as `find_experiment`.
    """
    from mlflow.exceptions import MlflowException

    if found := find_experiment(client):
        return found
    # A store without a server would put artifacts into the current folder.
    file = sqlite_file(client.tracking_uri)
    folder = str(Path(file).parent / "mlartifacts").replace("%", "%25")  # which MLflow decodes
    try:
        return client.create_experiment(_name(), folder if file else None)
    except MlflowException:
        # Another run has made it meanwhile.
        if found := find_experiment(client):
            return found
        raise


def _name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", "nashflow")


def _where(client: "MlflowClient") -> str:
    return redact(client.tracking_uri)
