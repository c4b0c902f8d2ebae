"""The artifacts that a step passes to Kubeflow: small files, with the location and digest of the data.

The data itself lies in the store of the run root: KFP would copy it whole to every step that reads it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.digests import digest_json
from ..storage.records import Record
from ..storage.store import Store
from ..storage.units import Manifest


@dataclass(frozen=True)
class Artifact:
    """One output artifact: the file that KFP keeps, and the metadata that its pages and its lineage show."""

    content: bytes
    metadata: Mapping[str, Any]


def records_artifact(store: Store, manifest: Manifest, record: Record[Any]) -> Artifact:
    """A unit's records of one kind: the manifest, and where the records are, with the unit's figures."""
    file = manifest.files[record.name]
    place = {"uri": store.location(file.key), "digest": file.sha256, "rows": file.rows}
    return Artifact(_json(manifest.to_json()), {**place, **numbers(manifest.metrics)})


def shards_artifact(store: Store, manifests: Sequence[Manifest], record: Record[Any]) -> Artifact:
    """The records of one kind in all shards of a phase: their manifests, and the folder that they are in."""
    files = [manifest.files[record.name] for manifest in manifests]
    place = {
        "uri": store.location(files[0].key.rpartition("/")[0]),
        "digest": digest_json([file.sha256 for file in files]),
        "rows": sum(file.rows or 0 for file in files),
    }
    return Artifact(_json([manifest.to_json() for manifest in manifests]), place)


def policy_artifact(store: Store, manifest: Manifest) -> Artifact:
    """A policy: its manifest, its folder and the digest of its weights."""
    folder = manifest.source or store.location(manifest.unit)
    return Artifact(_json(manifest.to_json()), {"uri": folder, "digest": manifest.weights_digest})


def folders_artifact(store: Store, place: str, manifests: Sequence[Manifest]) -> Artifact:
    """Model folders that lie together: their manifests, and the folder that they are in."""
    digest = digest_json([manifest.weights_digest for manifest in manifests])
    return Artifact(
        _json([manifest.to_json() for manifest in manifests]), {"uri": store.location(place), "digest": digest}
    )


def metrics_artifact(figures: Mapping[str, Any]) -> Artifact:
    """Figures for KFP's tables of scalar metrics."""
    return Artifact(_json(dict(figures)), numbers(figures))


def numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures that are finite numbers: JSON has no NaN, and KFP's launcher refuses it."""
    found = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
