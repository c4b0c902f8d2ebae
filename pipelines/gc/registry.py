"""Which run roots hold a registered model, by MLflow's registry."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nashflow.components.core.errors import UserError
from nashflow.components.core.redaction import redact
from nashflow.components.storage.store import Store
from nashflow.components.tracking.mlflow_store import connect, environment, failure_line, failures, quiet, sqlite_uri
from nashflow.components.tracking.nested_runs import PARENT

from .inventory import RunRoot

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAGE = 1000


class Version(NamedTuple):
    """A registered model's version: its name for people, where its files may lie, and its run root's MLflow run."""

    name: str
    places: tuple[str, ...]
    parent: str


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
            versions = list(_versions(client))
    except failures() as error:
        raise UserError(
            f"MLflow at {redact(uri)} does not say which models are registered, so nothing is deleted: "
            f"{failure_line(error)}; set MLFLOW_TRACKING_URI to a server that answers"
        ) from None
    return {run.uri: version.name for run in runs for version in versions if _points_at(version, run)}


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


def _versions(client: "MlflowClient") -> Iterator[Version]:
    token = None
    while True:
        page = client.search_model_versions(max_results=_PAGE, page_token=token)
        for version in page:
            name = f"{version.name} version {version.version}"
            yield Version(name, tuple(_places(client, version)), _parent(client, version))
        if not (token := page.token):
            return


def _places(client: "MlflowClient", version: Any) -> Iterator[str]:
    """Where a version's files are: its source, or what the logged model that it was made from says."""
    from mlflow.exceptions import MlflowException

    yield version.source or ""
    model_id = version.model_id or (version.source or "").removeprefix("models:/")
    if model_id.startswith("m-"):
        try:
            yield client.get_logged_model(model_id).tags.get("nashflow.uri", "")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise


def _parent(client: "MlflowClient", version: Any) -> str:
    """The run root's own MLflow run of the one that a version is from."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(version.run_id).data.tags.get(PARENT, version.run_id)) if version.run_id else ""
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""


def _points_at(version: Version, run: RunRoot) -> bool:
    tracking = (run.run.tracking if run.run else None) or {}
    from_it = bool(version.parent) and version.parent == tracking.get("parent")
    return from_it or any(lies_under(place, run.uri) for place in version.places)


def lies_under(place: str, root: str) -> bool:
    """Whether a path or URI is a run root or lies below it."""
    place, root = (_plain(text) for text in (place, root))
    return place == root or place.startswith(f"{root}/")


def _plain(place: str) -> str:
    place = place.removeprefix("file://").rstrip("/")
    return place if "://" in place or not place else os.path.realpath(place)
