"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

HIDDEN = ".nashflow-"
"""Names that begin like this are ours: unfinished files. No key and no listing has them."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends, and is deleted when the block fails.

    It lies beside `path`, whose folder is made if need be, so that the last step is one rename, and is on disk before
    that. A process that is killed leaves at most a file whose name begins with `HIDDEN`.
    """
    with _beside(path) as file:
        yield file
        _to_disk(file)
        os.replace(file.name, path)


def create(path: Path, data: bytes) -> bool:
    """Make a file with this content unless there is one at `path`; whether this call made it."""
    with _beside(path) as file:
        file.write(data)
        _to_disk(file)
        try:
            os.link(file.name, path)  # unlike a rename it never replaces
        except FileExistsError:
            # Over NFS a request that is sent again, because its answer was lost, finds what it did itself.
            return os.fstat(file.fileno()).st_nlink > 1
    return True


@contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f"{HIDDEN}{uuid.uuid4().hex}"
    try:
        with unfinished.open("xb") as file:
            yield file
    finally:
        unfinished.unlink(missing_ok=True)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
