"""The valid form of keys in an artifact store, and the metadata of a stored file."""

from typing import NamedTuple

from ..core.atomic_file import HIDDEN


class Entry(NamedTuple):
    """A file: its size in bytes, and when it was written, in seconds since the epoch."""

    size: int
    modified: float


def check_key(key: str) -> str:
    """Return `key` if it is a relative POSIX path in its one plain spelling.

    Raises:
        ValueError: it is empty or absolute, has a NUL, or a part that is empty, `.`, `..` or named like the store's own
            files.
    """
    for part in key.split("/"):
        if part in ("", ".", "..") or part.startswith(HIDDEN) or "\0" in part:
            raise ValueError(f"not a key of a store: {key!r} (a relative path such as 'policies/001/main' is)")
    return key


def check_folder(prefix: str) -> str:
    """The common beginning of all keys in folder `prefix`: with one slash at its end, or empty for the whole store.

    Raises:
        ValueError: as `check_key`.
    """
    return check_key(prefix.removesuffix("/")) + "/" if prefix else ""
