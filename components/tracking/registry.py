"""What MLflow's registry of models points to."""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..storage import layout
from ..storage.store import Store
from .mlflow_store import connect, quiet
from .tags import PARENT, URI

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAGE = 1000


class Version(NamedTuple):
    """A registered model's version: its name for people, where its files may lie, and its run root's MLflow run."""

    name: str
    places: tuple[str, ...]
    parent: str


def registered(uri: str, store: Store, units: Sequence[str], parent: str) -> set[str]:
    """Those of a run's units, its policies, to which a version points; all where one is of the run, but does not say
    of which policy.

    Args:
        uri: MLflow's address.
        store: the run root's.
        units: such as `policies/001/main`.
        parent: the run root's MLflow run; empty if it has none.

    Raises:
        failures(): MLflow does not answer.
    """
    found: set[str] = set()
    with quiet():
        for version in versions(connect(uri)):
            found |= {unit for unit in units if _lies_in(version, store, unit)}
            if parent and version.parent == parent and not _lies_in(version, store, layout.POLICIES):
                return set(units)
    return found


def _lies_in(version: Version, store: Store, folder: str) -> bool:
    return any(lies_under(place, store.location(folder)) for place in version.places)


def versions(client: "MlflowClient") -> Iterator[Version]:
    """Every version of every registered model."""
    token = None
    while True:
        page = client.search_model_versions(max_results=_PAGE, page_token=token)
        for version in page:
            name = f"{version.name} version {version.version}"
            yield Version(name, tuple(_places(client, version)), _parent(client, version))
        if not (token := page.token):
            return


def _places(client: "MlflowClient", version: Any) -> Iterator[str]:
    """Where a version's files are: its source, its tag, or what the logged model that it was made from says."""
    from mlflow.exceptions import MlflowException

    yield version.source or ""
    yield version.tags.get(URI, "")
    model_id = version.model_id or (version.source or "").removeprefix("models:/")
    if model_id.startswith("m-"):
        try:
            yield client.get_logged_model(model_id).tags.get(URI, "")
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


def lies_under(place: str, root: str) -> bool:
    """Whether a path or URI is a folder, such as a run root, or lies below it."""
    place, root = (_plain(text) for text in (place, root))
    return place == root or place.startswith(f"{root}/")


def _plain(place: str) -> str:
    place = place.removeprefix("file://").rstrip("/")
    return place if "://" in place or not place else os.path.realpath(place)
