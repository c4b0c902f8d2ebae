"""What a key of an artifact store may look like, and what is known of the file under it."""

from typing import NamedTuple

from ..core.atomic_file import HIDDEN


class Entry(NamedTuple):
    """A file: its size in bytes, and when it was written, in seconds since the epoch."""

    size: int
    modified: float


def check_key(key: str) -> str:
    """Return `key` if it is a relative POSIX path in its one plain spelling.

    Raises:
        ValueError: it is empty or absolute, or has a part that is empty, `.`, `..` or named like the store's own files.
    """
    for part in key.split("/"):
        if part in ("", ".", "..") or part.startswith(HIDDEN):
            raise ValueError(f"not a key of a store: {key!r} (a relative path such as 'policies/001/main' is)")
    return key


def check_folder(prefix: str) -> str:
    """Return what all keys in folder `prefix` begin with: one slash at its end, or nothing for the whole store.

    Raises:
        ValueError: as `check_key`.
    """
    return check_key(prefix.removesuffix("/")) + "/" if prefix else ""
