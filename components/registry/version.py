"""A version of a registered model: what MLflow's registry says of it, and its files, checked against that.

A version's tags are those of a logged model, and its run's root: see `tracking.tags`. A version that somebody
registered by hand from a logged model of ours has them there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..models.policies import LocalPolicy, not_kept, open_policy
from ..storage import layout
from ..storage.store import Store, open_store
from ..storage.units import Manifest, read_manifest
from ..tracking.tags import DIGEST, ITERATION, POLICY, RUN_ROOT, URI, WEIGHTS

if TYPE_CHECKING:
    from mlflow import MlflowClient

REIGN, CROWNED, ROLLED_BACK = "nashflow.reign", "nashflow.crowned", "nashflow.rolled_back"
"""Tags of a version that is or was the champion: the how-manieth one, since when, and why it is no more."""

_OF_A_RUN = re.compile(rf"(?P<run_root>.+)/{layout.POLICIES}/(?P<policy>\d+/[^/]+)/[0-9a-f]+")


@dataclass(frozen=True)
class Version:
    """A version of a registered model. What is not known of it is empty."""

    model: str
    number: int
    place: str
    """The folder or URI of its files."""
    weights: str
    """Digest of its weights."""
    digest: str
    """Digest of all its files, as the manifest of its policy has it."""
    run_root: str
    """The run root in which its policy is."""
    policy: str
    """The policy's reference there, as in `003/main`."""
    description: str
    created: int
    """Milliseconds since the epoch."""
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """Its name in MLflow, which never comes to mean another version."""
        return f"models:/{self.model}/{self.number}"

    @property
    def reign(self) -> int:
        """Which champion of its model it is or was, counted from 1; 0 if it never was, as far as the tags say."""
        return int(self.tags.get(REIGN, 0))

    @property
    def rolled_back(self) -> str:
        """Why it was rolled back; empty if it was not."""
        return self.tags.get(ROLLED_BACK, "")

    def store(self) -> Store:
        """The store of its run root.

        Raises:
            UserError: it is no policy of a run.
        """
        if not self.run_root or not self.policy:
            raise UserError(
                f"{self.uri}: is at {self.place or 'no place'}, which is no policy of a run: register one by "
                "nashflow promote RUN_ROOT"
            )
        return open_store(self.run_root)

    def manifest(self) -> Manifest:
        """The manifest of its policy, whose files are there; their bytes are not read.

        Raises:
            UserError: they are gone, or are other ones than were registered.
        """
        store = self.store()
        manifest = read_manifest(store, f"{layout.POLICIES}/{self.policy}")
        if manifest is None:
            raise UserError(f"{self.uri}: its files are gone: there is no policy {self.policy} in {self.run_root}")
        for said, registered, there in (
            ("weights", self.weights, manifest.weights_digest),
            ("files", self.digest, manifest.digest),
        ):
            if registered and registered != there:
                raise UserError(
                    f"{self.uri}: was registered with {said} of digest {registered[:12]}, and policy {self.policy} of "
                    f"{self.run_root} has {there[:12]} now: it is not what was compared; restore it"
                )
        if missing := not_kept(store, manifest):
            raise UserError(f"{self.uri}: {missing}")
        origin = open_store(manifest.source) if manifest.source else store
        if gone := next((file.key for file in manifest.files.values() if not origin.exists(file.key)), ""):
            raise UserError(f"{self.uri}: its files are gone: there is no {origin.location(gone)}; restore them")
        return manifest

    def files(self) -> LocalPolicy:
        """Its files on this machine, checked against their digests; fetched first from a remote store.

        Raises:
            UserError: they are gone, or are other ones than were registered.
        """
        self.manifest()
        try:
            return open_policy(self.store(), self.policy)
        except UserError as error:
            raise UserError(f"{self.uri}: {error}") from None


def read_version(client: "MlflowClient", found: Any) -> Version:
    """What MLflow's entity `ModelVersion` says, with the tags of the logged model that it was made from."""
    tags = {**_logged(client, found), **found.tags}
    place = tags.get(URI) or found.source or ""
    in_a_run = _OF_A_RUN.fullmatch(place.removeprefix("file://").rstrip("/"))
    return Version(
        model=found.name,
        number=int(found.version),
        place=place,
        weights=tags.get(WEIGHTS, ""),
        digest=tags.get(DIGEST, ""),
        run_root=tags.get(RUN_ROOT) or (in_a_run["run_root"] if in_a_run else ""),
        policy=_reference(tags) or (in_a_run["policy"] if in_a_run else ""),
        description=found.description or "",
        created=found.creation_timestamp,
        tags=found.tags,
    )


def _reference(tags: Mapping[str, str]) -> str:
    return f"{int(tags[ITERATION]):03d}/{tags[POLICY]}" if tags.keys() >= {ITERATION, POLICY} else ""


def _logged(client: "MlflowClient", found: Any) -> Mapping[str, str]:
    """The tags of the logged model behind a version that has none of its own."""
    from mlflow.exceptions import MlflowException

    model_id = found.model_id or (found.source or "").removeprefix("models:/")
    if URI in found.tags or not model_id.startswith("m-"):
        return {}
    try:
        tags: Mapping[str, str] = client.get_logged_model(model_id).tags
        return tags
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
