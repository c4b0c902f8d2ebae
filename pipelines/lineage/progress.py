"""How much a trace has read, on a terminal: terabytes take hours."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn


@contextmanager
def reading() -> Iterator[Callable[[int], object]]:
    """A function that is told of the bytes of each unit whose files were read; nothing is shown but on a terminal."""
    columns = (TextColumn("checking files"), TransferSpeedColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as shown:
        task = shown.add_task("", total=None)
        yield lambda size: shown.advance(task, size)
