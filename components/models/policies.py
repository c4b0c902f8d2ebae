"""Policies of a run: where a step finds one as a folder on its own disk."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..core.digests import sha256_file
from ..core.errors import UserError
from ..storage import layout
from ..storage.dropped import dropped
from ..storage.store import Store, open_store
from ..storage.units import Manifest, read_manifest, read_once_while_asking, require_manifest
from .identity import digest_of, unlisted

_sha256 = read_once_while_asking(sha256_file)


@dataclass(frozen=True)
class LocalPolicy:
    """A policy on this machine, and its digests; see `identity.py`."""

    found: Path | None
    """Its folder; None if its files are not kept."""
    weights_digest: str
    digest: str
    """Of the whole policy, which names it."""
    master: str = ""
    """The digest of its weights in float32, if those are kept too; see `open_master`."""
    missing: str = ""
    """In words, why there is no folder."""

    @property
    def folder(self) -> Path:
        """Its folder.

        Raises:
            UserError: its files are not kept.
        """
        if self.found is None:
            raise UserError(self.missing)
        return self.found


def open_policy(store: Store, reference: str) -> LocalPolicy:
    """The policy `reference` ("001/main") of a run, checked against its digests; fetched first from a remote store.

    Raises:
        UserError: the policy is not there yet, or a file does not have its digest.
    """
    manifest = require_manifest(store, f"{layout.POLICIES}/{reference}")
    missing = not_kept(store, manifest)
    found = None if missing else open_unit(store, manifest)
    return LocalPolicy(found, manifest.weights_digest, digest_of(manifest), manifest.master, missing)


def open_master(store: Store, reference: str, digest: str) -> Path:
    """The folder of a policy's weights in float32, whose digest is given; checked and fetched as a policy is.

    Raises:
        UserError: they are not kept any more, are others, or a file does not have its digest.
    """
    manifest = read_manifest(store, f"{layout.MASTERS}/{reference}")
    if manifest is None or manifest.weights_digest != digest:
        raise UserError(
            f"policy {reference} of {store.uri}: its float32 weights, from which training starts, are not kept; "
            + _made_again(store, f"{layout.POLICIES}/{reference}")
        )
    return open_unit(store, manifest)


def not_kept(store: Store, manifest: Manifest) -> str:
    """Why a policy's files cannot be read, in a line, if they were deleted on purpose, here or in their own run."""
    origin = open_store(manifest.source) if manifest.source else store
    unit = "/".join(next(iter(manifest.files.values())).key.split("/")[:3])
    reference, reason = unit.removeprefix(f"{layout.POLICIES}/"), dropped(origin, unit)
    again = _made_again(origin, unit)
    return f"policy {reference} of {origin.uri}: not kept, by {reason}; {again}" if reason else ""


def _made_again(store: Store, unit: str) -> str:
    place = store.location(f"{unit}{layout.MANIFEST}")
    return f"to train it again, delete {place} and run the recipe with run.keep=all"


def open_unit(store: Store, manifest: Manifest) -> Path:
    """The folder of a model that is a run's unit of work, checked against its digests; from a remote store, fetched.

    Raises:
        UserError: a file does not have its digest, or transformers would read one that the manifest does not list.
    """
    folder = _opened(store, manifest)
    if others := unlisted(folder, manifest.files):
        raise UserError(f"{folder / others[0]}: not among the files of this model that were recorded: remove it")
    return folder


def _opened(store: Store, manifest: Manifest) -> Path:
    origin = open_store(manifest.source) if manifest.source else store
    if "://" in origin.uri:
        return _fetched(store, manifest)
    for file in manifest.files.values():
        path = Path(origin.location(file.key))
        if not _is(path, file.sha256):
            raise UserError(f"{path}: changed since it was recorded; restore it or delete the run")
    return Path(os.path.commonpath([Path(origin.location(file.key)).parent for file in manifest.files.values()]))


def _fetched(store: Store, manifest: Manifest) -> Path:
    """The policy's files in this machine's cache, named by the content's digest."""
    cache = Path(os.environ.get("NASHFLOW_CACHE", Path(tempfile.gettempdir()) / f"nashflow-{os.getuid()}"))
    folder = cache.expanduser() / "policies" / manifest.digest
    if folder.exists():
        if all(_is(folder / name, file.sha256) for name, file in manifest.files.items()):
            return folder
        shutil.rmtree(folder)
    try:
        fetch_whole(store, manifest, folder)
    except OSError:
        if not folder.exists():  # else another process was faster
            raise
    return folder


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and _sha256(path) == digest


def fetch_whole(store: Store, manifest: Manifest, folder: Path) -> None:
    """Fetch a policy's files, and make them `folder`, which is not there yet or empty, once all of them are there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".attempt-") as scratch:
        attempt = Path(scratch, folder.name)
        attempt.mkdir()
        manifest.fetch(store, attempt)
        os.rename(attempt, folder)
