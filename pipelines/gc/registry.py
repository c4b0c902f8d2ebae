"""Which run roots hold a registered model, by MLflow's registry."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nashflow.components.core.errors import UserError
from nashflow.components.core.redaction import redact
from nashflow.components.storage.store import Store
from nashflow.components.tracking.mlflow_store import connect, environment, failure_line, failures, quiet, sqlite_uri
from nashflow.components.tracking.registry import Version, lies_under, versions

from .inventory import RunRoot

if TYPE_CHECKING:
    from mlflow import MlflowClient


def registered(runs: Sequence[RunRoot], prefix: Store) -> dict[str, str]:
    """The version that points at a run, by run root, for those of `runs` at which one does.

    Raises:
        UserError: runs are tracked, but no registry is named, or it does not answer, or it does not know them.
    """
    uri = environment()[0] or _beside(prefix)
    tracked = [run for run in runs if run.run and run.run.tracking]
    if not uri and not tracked:
        return {}
    if not uri:
        raise UserError(
            f"{tracked[0].uri} is tracked by MLflow, so a model of it may be registered: set MLFLOW_TRACKING_URI to "
            "the server that its runs are in"
        )
    try:
        with quiet():
            client = connect(uri)
            for run in tracked:
                _check_known(client, run)
            found = list(versions(client))
    except failures() as error:
        raise UserError(
            f"MLflow at {redact(uri)} does not say which models are registered, so nothing is deleted: "
            f"{failure_line(error)}; set MLFLOW_TRACKING_URI to a server that answers"
        ) from None
    return {run.uri: version.name for run in runs for version in found if _points_at(version, run)}


def _beside(prefix: Store) -> str:
    """The SQLite store that `nashflow run` makes beside the run roots of a folder."""
    file = Path(prefix.uri) / "mlflow.db"
    return sqlite_uri(file) if "://" not in prefix.uri and file.exists() else ""


def _check_known(client: "MlflowClient", run: RunRoot) -> None:
    """Refuse a registry in which a run's models would not be, if any were registered."""
    from mlflow.exceptions import MlflowException

    tracking = dict(run.run.tracking or {}) if run.run else {}
    try:
        client.get_run(str(tracking.get("parent")))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise UserError(
            f"{run.uri} is tracked as run {tracking.get('parent')} in {tracking.get('uri')}, by its run.json, and "
            f"{redact(client.tracking_uri)} does not know it, so nothing is deleted: set MLFLOW_TRACKING_URI to the "
            "server that its runs are in, or delete the run root by hand"
        ) from None


def _points_at(version: Version, run: RunRoot) -> bool:
    tracking = (run.run.tracking if run.run else None) or {}
    from_it = bool(version.parent) and version.parent == tracking.get("parent")
    return from_it or any(lies_under(place, run.uri) for place in version.places)
