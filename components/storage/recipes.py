"""The recipe under a run root: preparation writes it, resolved; other steps are told where, and read their part."""

import json
import posixpath
from collections.abc import Mapping
from typing import Any

from ..core.digests import sha256_bytes
from ..core.errors import UserError
from .store import Store, open_store

_FOLDER, _DIGITS = "recipes", 16


def write(store: Store, recipe: Mapping[str, Any]) -> str:
    """Keep a recipe, a JSON value, under the run root; where it is: a path or URI named after its digest."""
    data = json.dumps(recipe, sort_keys=True, indent=1).encode()
    key = f"{_FOLDER}/{_name(data)}"
    store.write(key, data)
    return store.location(key)


def read(location: str) -> tuple[Store, dict[str, Any]]:
    """The run root that holds the recipe at `location`, and the recipe.

    Raises:
        UserError: there is none, or somebody has changed it.
    """
    folder, name = posixpath.split(location)
    run_root, last = posixpath.split(folder)
    if last != _FOLDER or not name:
        raise UserError(f"--recipe {location}: neither JSON nor a recipe under a run root: RUN_ROOT/{_FOLDER}/….json")
    store = open_store(run_root)
    try:
        data = store.read(f"{_FOLDER}/{name}")
    except FileNotFoundError:
        raise UserError(f"--recipe {location}: not there: preparation writes it; run that first") from None
    if _name(data) != name:
        raise UserError(f"{location}: is not what preparation wrote: run preparation again")
    recipe: dict[str, Any] = json.loads(data)
    return store, recipe


def changed(store: Store) -> list[str]:
    """Where the recipes under a run root are that are not what preparation wrote."""
    return [store.location(key) for key in store.list(_FOLDER) if _name(store.read(key)) != posixpath.basename(key)]


def _name(data: bytes) -> str:
    return f"{sha256_bytes(data)[:_DIGITS]}.json"
