"""Policies by their run: `RUN_ROOT@3`."""

import posixpath
import re
from pathlib import Path

from ..core.errors import UserError
from ..storage import layout
from ..storage.run import require_run
from ..storage.store import Store, open_store
from ..storage.units import require_manifest
from .policies import fetch_whole, not_kept

_MANIFEST = re.compile(rf"{layout.POLICIES}/(\d+)/([^/]+)\.manifest\.json")


def find(named: str, name: str = "main") -> tuple[Store, str]:
    """A policy by `RUN_ROOT@3`, or `RUN_ROOT` for the last one: its run's store, and its reference there ("003/main").

    Raises:
        UserError: there is no such run, or no such policy in it; says which there are.
    """
    run_root, _, iteration = named.rpartition("@")
    if not run_root or not iteration.isdecimal():
        run_root, iteration = named, ""
    store = open_store(run_root)
    require_run(store)
    policies = made(store)
    if name not in policies:
        raise UserError(f"{store.uri}: no policy is named {name}; there are {', '.join(policies) or 'none yet'}")
    there = policies[name]
    wanted = int(iteration or there[-1])
    if wanted not in there:
        numbers = ", ".join(map(str, there))
        raise UserError(f"{store.uri}: no policy {name} of iteration {wanted}; there are those of {numbers}")
    return store, f"{wanted:03d}/{name}"


def made(store: Store) -> dict[str, list[int]]:
    """The iterations of a run whose policies are there, ascending, by the policies' names; 0 is before training."""
    found: dict[str, list[int]] = {}
    for key in store.list(layout.POLICIES):
        if match := _MANIFEST.fullmatch(key):
            found.setdefault(match[2], []).append(int(match[1]))
    return found


def place_of(store: Store, reference: str) -> str:
    """Path or URI of the folder that holds a policy's files, which are not checked."""
    manifest = require_manifest(store, f"{layout.POLICIES}/{reference}")
    common = posixpath.commonpath([posixpath.dirname(file.key) for file in manifest.files.values()])
    return posixpath.join(manifest.source or store.uri, common).rstrip("/")


def copy_to(store: Store, reference: str, folder: Path) -> None:
    """Copy a policy, checked against its digests, to a folder that is not there yet, or empty.

    Raises:
        UserError: something is there, or a file does not have its digest.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already: name a new folder")
    manifest = require_manifest(store, f"{layout.POLICIES}/{reference}")
    if missing := not_kept(store, manifest):
        raise UserError(missing)
    fetch_whole(store, manifest, folder)
