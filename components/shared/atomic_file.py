"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

HIDDEN = ".nashflow-"
"""Names that begin like this are ours: unfinished files and locks. No key and no listing has them."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes `path`'s place when the block ends, and vanishes when the block fails.

    It lies beside `path`, whose folder is made if need be, so that the last step is one rename, and is on disk before
    that. A process that is killed leaves at most a file whose name begins with `HIDDEN`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f"{HIDDEN}{uuid.uuid4().hex}"
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
