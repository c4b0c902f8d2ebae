"""Where the policies that a run started from came from: another run's policies, or from outside."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nashflow.components.core.errors import TryAgain, UserError
from nashflow.components.models.named import find
from nashflow.components.registry.champions import Registry
from nashflow.components.storage import layout
from nashflow.components.storage.claims import made_by
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import Manifest, read_manifest

from .registered import SCHEME
from .units import Units

_RUN = "run:"


@dataclass(frozen=True)
class Origin:
    """What a policy that a run started from is a copy of, or a pointer to."""

    unit: str
    """The policy under this run's root."""
    said: str
    """In words: where it came from."""
    store: Store | None = None
    """The run root that made it; None where it came from outside."""
    made: str = ""
    """The unit there."""
    fault: str = ""
    """Why it cannot be followed further, or that there is another policy there by now."""


def origins(units: Units) -> list[Origin]:
    """The origin of each policy that a run started from."""
    return [_origin(units, key) for key in units.references]


def _origin(units: Units, key: str) -> Origin:
    manifest = units.manifests[key]
    settings: Mapping[str, Any] = units.run.recipe["policy"]
    if manifest.source and (found := _pointed_at(manifest)):
        return _checked(key, *found, manifest)
    model = str(settings.get("reference" if key.endswith("/reference") else "model", ""))
    if model.startswith(_RUN):
        try:
            store, reference = find(model.removeprefix(_RUN))
        except UserError as error:
            return Origin(key, model, fault=f"{model}: {error}")
        return _checked(key, store, f"{layout.POLICIES}/{reference}", manifest)
    if model.startswith(SCHEME):
        return _of_registered(key, model, manifest)
    return Origin(key, manifest.source or model or f"made by the run itself (policy.kind {settings.get('kind')})")


def _of_registered(key: str, model: str, manifest: Manifest) -> Origin:
    """The origin of a copy of a registered model, if MLflow still has the version."""
    try:
        version = Registry.named(model)
        store = version.store()
    except (UserError, TryAgain) as error:  # which says nothing against the copy
        return Origin(key, f"{model}, which was not followed: {error}")
    return _checked(key, store, f"{layout.POLICIES}/{version.policy}", manifest)


def _pointed_at(manifest: Manifest) -> tuple[Store, str] | None:
    """The run root and the unit that a pointer's files are of, if they are a run's."""
    file = next(iter(manifest.files.values()))
    found = made_by(posixpath.dirname(posixpath.join(manifest.source or "", file.key)))
    return found if found and found[0].exists(layout.RUN) else None


def _checked(key: str, store: Store, unit: str, manifest: Manifest) -> Origin:
    there, said = read_manifest(store, unit), f"{unit} of {store.uri}"
    if there is None:
        return Origin(key, said, fault=f"{store.location(unit)}: missing: {key} came from there")
    fault = ""
    if there.weights_digest != manifest.weights_digest:
        fault = (
            f"{store.location(unit)}: its weights have the digest {there.weights_digest} by now, and "
            f"{manifest.weights_digest} as {key} took them from there"
        )
    return Origin(key, said, store, unit, fault)
