"""The recipe under a run root: preparation writes it, resolved; other steps are told its digest and read it there."""

import json
from collections.abc import Mapping
from typing import Any

from .digests import sha256_bytes
from .errors import UserError
from .store import Store

_DIGITS = 16


def write(store: Store, recipe: Mapping[str, Any]) -> str:
    """Keep a recipe, a JSON value; its digest, by which `read` finds it."""
    data = json.dumps(recipe, sort_keys=True, indent=1).encode()
    digest = sha256_bytes(data)[:_DIGITS]
    store.write(_key(digest), data)
    return digest


def read(store: Store, digest: str) -> dict[str, Any]:
    """The recipe of this digest.

    Raises:
        UserError: there is none, or somebody has changed it.
    """
    try:
        data = store.read(_key(digest))
    except FileNotFoundError:
        raise UserError(
            f"--recipe {digest}: {store.location(_key(digest))} is not there: preparation writes it; run that first"
        ) from None
    if sha256_bytes(data)[:_DIGITS] != digest:
        raise UserError(f"{store.location(_key(digest))}: is not what preparation wrote: run preparation again")
    recipe: dict[str, Any] = json.loads(data)
    return recipe


def _key(digest: str) -> str:
    return f"recipes/{digest}.json"
