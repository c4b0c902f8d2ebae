"""Whether the files of a unit are there, and are what its manifest says."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from nashflow.components.core.digests import sha256_file
from nashflow.components.core.errors import UserError, one_line
from nashflow.components.models.policies import not_kept
from nashflow.components.models.weights import shards, weights_digest
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import File, Manifest


def kept(store: Store, manifest: Manifest) -> bool:
    """Whether a unit's files were not deleted on purpose, by `run.keep`."""
    return not (manifest.weights_digest and not_kept(store, manifest))


def faults(store: Store, manifest: Manifest) -> list[str]:
    """A line for each file of a unit that is missing or damaged, and for weights that have another digest.

    Every byte is read. Files in S3 go through the disk, one at a time; a model's weights stay there until all of them
    are, because their digest goes by the names of tensors, which are spread over its files.

    Raises:
        ConnectionError: the store does not answer.
    """
    origin = open_store(manifest.source) if manifest.source else store
    with TemporaryDirectory(prefix="nashflow-trace-") as scratch:
        found = [line for name, file in manifest.files.items() for line in _fault(origin, name, file, Path(scratch))]
        if manifest.weights_digest and not found:
            found = list(_other_weights(origin, manifest, Path(scratch)))
    return found


def _fault(origin: Store, name: str, file: File, scratch: Path) -> Iterator[str]:
    place = origin.location(file.key)
    path = scratch / name if "://" in origin.uri else Path(place)
    try:
        if "://" in origin.uri:
            origin.download(file.key, path)
        digest = sha256_file(path)
    except (FileNotFoundError, NotADirectoryError):
        yield f"{place}: missing"
        return
    except OSError as error:
        if error.errno or isinstance(error, ConnectionError):  # others are the store's word on the content
            raise
        yield f"{place}: damaged: {one_line(error)}"
        return
    if digest != file.sha256:
        yield f"{place}: damaged: its SHA-256 is {digest}, and {file.sha256} by its manifest"
    elif path.suffix != ".safetensors" and path.is_relative_to(scratch):
        path.unlink()


def _other_weights(origin: Store, manifest: Manifest, scratch: Path) -> Iterator[str]:
    """A line where the tensors are not those that the manifest names; their files are what it says."""
    parents = [Path(origin.location(file.key)).parent for file in manifest.files.values()]
    folder = scratch if "://" in origin.uri else Path(os.path.commonpath(parents))
    place = origin.location(next(iter(manifest.files.values())).key).rpartition("/")[0]
    if not shards(folder):
        yield f"{place}: has no weights, and {manifest.weights_digest} by its manifest"
        return
    try:
        digest = weights_digest(folder)
    except UserError as error:
        yield f"{place}: {error}"
        return
    if digest != manifest.weights_digest:
        yield f"{place}: its weights have the digest {digest}, and {manifest.weights_digest} by its manifest"
