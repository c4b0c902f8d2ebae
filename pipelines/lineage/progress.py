"""How much a trace has read, on a terminal: terabytes take hours."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from ..terminal import terminal


@contextmanager
def reading() -> Iterator[Callable[[int], object]]:
    """A function that is told of the bytes of each unit whose files were read; nothing is shown but on a terminal."""
    columns = (TextColumn("checking files"), TransferSpeedColumn(), TimeElapsedColumn())
    with Progress(*columns, console=terminal(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown:
        task = shown.add_task("", total=None)
        yield lambda size: shown.advance(task, size)
