"""The MLflow experiments that runs are made in: one of the run roots' own runs, one of the runs below these.

MLflow's page of an experiment shows the newest hundred runs, nested ones among them, which would leave room for two run
roots of ten iterations. So those have an experiment of their own, beside the first.
"""

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..core.redaction import redact
from .mlflow_store import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment


KIND, TRAINING = "mlflow.experimentKind", "custom_model_development"
"""Tag that says of an experiment that models are trained in it, which MLflow 3 otherwise guesses or asks."""

_NESTED, _ANOTHER_NAME = " steps", "set MLFLOW_EXPERIMENT_NAME to another name"


def find_experiment(client: "MlflowClient") -> str:
    """Id of the experiment that MLflow's own variables name, or of `nashflow`; empty if there is none of that name yet.

    Raises:
        UserError: no run can be made in it, because it is deleted, or there is none of this id.
    """
    from mlflow.exceptions import MlflowException

    chosen = os.environ.get("MLFLOW_EXPERIMENT_ID", "")
    try:
        found = client.get_experiment(chosen) if chosen else client.get_experiment_by_name(_name())
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise UserError(
            f"set MLFLOW_EXPERIMENT_ID to an experiment of {_where(client)}, or unset it: there is no {chosen}"
        ) from None
    return _usable(client, found, "set MLFLOW_EXPERIMENT_ID to another" if chosen else _ANOTHER_NAME)


def make_experiment(client: "MlflowClient") -> str:
    """Id of that experiment, made where there is none; its kind is model training.

    Raises:
        UserError: as `find_experiment`.
    """
    found = find_experiment(client) or _made(client, _name(), lambda: find_experiment(client))
    _say_kind(client, found)
    return found


def nested_experiment(client: "MlflowClient", experiment: str) -> str:
    """Id of the experiment of the runs below those of `experiment`; that one itself where no other may be made.

    Raises:
        UserError: it is deleted.
    """
    from mlflow.exceptions import MlflowException

    name = client.get_experiment(experiment).name + _NESTED

    def find() -> str:
        return _usable(client, client.get_experiment_by_name(name), _ANOTHER_NAME)

    try:
        found = find() or _made(client, name, find)
        _say_kind(client, found)
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise
        return experiment
    return found


def _usable(client: "MlflowClient", found: "Experiment | None", way_out: str) -> str:
    """Id of an experiment; empty if there is none."""
    if found and found.lifecycle_stage == "deleted":
        restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
        command = f"MLFLOW_TRACKING_URI={shlex.quote(_where(client))} {restore}"
        raise UserError(f"{way_out}, or restore it ({command}): the experiment {found.name} of MLflow is deleted")
    return found.experiment_id if found else ""


def _say_kind(client: "MlflowClient", experiment: str) -> None:
    if not client.get_experiment(experiment).tags.get(KIND):
        client.set_experiment_tag(experiment, KIND, TRAINING)


def _made(client: "MlflowClient", name: str, find: Callable[[], str]) -> str:
    """Id of a new experiment, or of the one that another run has made meanwhile, which `find` finds."""
    from mlflow.exceptions import MlflowException

    # A store without a server would put artifacts into the current folder.
    file = sqlite_file(client.tracking_uri)
    folder = str(Path(file).parent / "mlartifacts").replace("%", "%25")  # which MLflow decodes
    try:
        return client.create_experiment(name, folder if file else None)
    except MlflowException:
        if found := find():
            return found
        raise


def _name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", "nashflow")


def _where(client: "MlflowClient") -> str:
    return redact(client.tracking_uri)
