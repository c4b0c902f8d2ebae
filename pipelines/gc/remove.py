"""Deleting a run: under its lock, manifests before the files that they name, `run.json` last."""

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nashflow.components.core.atomic_file import HIDDEN
from nashflow.components.core.errors import UserError
from nashflow.components.runtime import lock
from nashflow.components.storage import layout
from nashflow.components.storage.store import Store

from .inventory import MANIFEST, RunRoot

_AT_ONCE = 16


def remove_run(root: RunRoot) -> None:
    """Delete what a run wrote. Interrupted at any time, what is left is a run that can be resumed, or deleted again.

    Raises:
        UserError: a run has begun under this run root, or gone on there, since it was looked at.
    """
    owner = f"nashflow gc on {socket.gethostname()}, process {os.getpid()}"
    lock.acquire(root.store, owner, process=True)
    with lock.renewing(root.store):
        try:
            now = RunRoot(root.store, root.store.entries())
            if now.work and now.work != root.work:
                raise UserError(f"{root.uri}: was written to in the meantime: kept")
            for keys in _in_order(now.work, layout.RUN):
                _delete(root.store, keys)
        finally:
            lock.release(root.store, owner)
    lock.remove(root.store)
    if not lock.held_by(root.store)[0]:
        _remove_empty_folders(root.store)


def remove_shared(prefix: Store, folder: str, keys: Iterable[str]) -> None:
    """Delete the files of a folder that lies beside the run roots, manifests first."""
    for part in _in_order(keys):
        _delete(prefix, part)
    _remove_empty_folders(prefix.at(folder))


def remove_ledger(prefix: Store, folder: str, keys: Iterable[str]) -> None:
    """Delete the generations of a ledger, the oldest first: until the end the newest of them stands."""
    for key in sorted(keys):
        prefix.delete(key)
    _remove_empty_folders(prefix.at(folder))


def _in_order(keys: Iterable[str], last: str = "") -> Iterator[list[str]]:
    """Manifests, those of later iterations first; what they name; the `last`."""
    found = sorted(keys, reverse=True)
    manifests = [key for key in found if key.endswith(MANIFEST) and key != last]
    yield from ([key] for key in manifests)
    yield [key for key in found if not key.endswith(MANIFEST) and key != last]
    yield [key for key in found if key == last]


def _delete(store: Store, keys: list[str]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(store.delete, keys))


def _remove_empty_folders(store: Store) -> None:
    """Remove a store's own hidden files, and the folders that are empty then."""
    if "://" in store.uri:
        return
    for parent, _, names in os.walk(store.uri, topdown=False):
        for name in names:
            if name.startswith(HIDDEN):
                Path(parent, name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # files of others are left in it
            os.rmdir(parent)
