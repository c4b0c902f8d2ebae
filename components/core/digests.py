"""SHA-256 digests of bytes, files and JSON values, in hexadecimal."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of `data`, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON value's canonical text."""
    return sha256_bytes(canonical_json(value).encode())


def digest_json_list(values: Iterable[Any]) -> str:
    """`digest_json` of a list that need not be in memory."""
    digest = hashlib.sha256(b"[")
    for index, value in enumerate(values):
        digest.update(f"{',' if index else ''}{canonical_json(value)}".encode())
    digest.update(b"]")
    return digest.hexdigest()
