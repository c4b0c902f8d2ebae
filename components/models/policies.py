"""Policies of a run: where a step finds one as a folder on its own disk."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..core.digests import sha256_file
from ..core.errors import UserError
from ..storage import layout
from ..storage.store import Store, open_store
from ..storage.units import Manifest, read_once_while_asking, require_manifest

_sha256 = read_once_while_asking(sha256_file)


@dataclass(frozen=True)
class LocalPolicy:
    """A policy's folder on this machine, and the digest of its weights, which names it."""

    folder: Path
    weights_digest: str


def open_policy(store: Store, reference: str) -> LocalPolicy:
    """The policy `reference` ("001/main") of a run, checked against its digests; fetched first from a remote store.

    Raises:
        UserError: the policy is not there yet, or a file does not have its digest.
    """
    iteration, name = reference.split("/")
    manifest = require_manifest(store, layout.policy(int(iteration), name))
    origin = open_store(manifest.source) if manifest.source else store
    if "://" in origin.uri:
        return LocalPolicy(_fetched(store, manifest), manifest.weights_digest)
    for file in manifest.files.values():
        path = Path(origin.location(file.key))
        if not path.is_file() or _sha256(path) != file.sha256:
            raise UserError(f"{path}: changed since it was recorded; restore it or delete the run")
    folder = os.path.commonpath([Path(origin.location(file.key)).parent for file in manifest.files.values()])
    return LocalPolicy(Path(folder), manifest.weights_digest)


def _fetched(store: Store, manifest: Manifest) -> Path:
    """The policy's files in this machine's cache, named by the content's digest."""
    cache = Path(os.environ.get("NASHFLOW_CACHE", Path(tempfile.gettempdir()) / f"nashflow-{os.getuid()}"))
    folder = cache.expanduser() / "policies" / manifest.digest
    if folder.exists():
        if all(_sha256(folder / name) == file.sha256 for name, file in manifest.files.items()):
            return folder
        shutil.rmtree(folder)
    try:
        fetch_whole(store, manifest, folder)
    except OSError:
        if not folder.exists():  # else another process was faster
            raise
    return folder


def fetch_whole(store: Store, manifest: Manifest, folder: Path) -> None:
    """Fetch a policy's files, and make them `folder`, which is not there yet or empty, once all of them are there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".attempt-") as scratch:
        attempt = Path(scratch, folder.name)
        attempt.mkdir()
        manifest.fetch(store, attempt)
        os.rename(attempt, folder)
