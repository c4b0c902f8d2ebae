"""The display of `nashflow run`: a line for each finished task, and the progress of running ones.

On a terminal that is a bar for the run and one below it for each task at work; elsewhere, or where a format is asked
for, a line on stderr at least every 30 seconds, as the step writes it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from nashflow.components.core.errors import UserError
from nashflow.components.runtime.protocol import PENDING, TERMINATED
from nashflow.components.runtime.voice import check_format

from .lines import finished_line
from .local import Event


@dataclass(frozen=True)
class Shown:
    """How much a person wants to see."""

    quiet: bool = False
    """No lines of tasks, no bar."""
    verbose: bool = False
    """Everything that steps write to stderr."""
    log_format: str = ""
    """Of the steps' lines: text or json; empty: text, and on a terminal bars instead."""

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise UserError("--quiet and --verbose contradict each other: give one of them")
        if self.log_format:
            check_format(self.log_format, "--log-format")


@contextmanager
def display(console: Console, name: str, tasks: int, shown: Shown) -> Iterator[Callable[[Event], None]]:
    """Show a run with `tasks` tasks within this block; yields the handler of events."""
    bars = console.is_terminal and not shown.quiet and not shown.log_format
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[words]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
    )
    with Progress(*columns, console=console, transient=True, expand=True, disable=not bars) as progress:
        yield _Display(progress, progress.add_task(name, total=tasks, words=""), shown)


class _Display:
    """Takes the events of a run."""

    def __init__(self, progress: Progress, run: TaskID, shown: Shown) -> None:
        self._progress, self._run, self._shown = progress, run, shown
        self._bars: dict[str, TaskID] = {}
        self._lines: dict[str, int] = {}
        self._read: dict[Path, int] = {}

    def __call__(self, event: Event) -> None:
        """Show what an event says."""
        if event.state == "started":
            self._begin(event)
        if self._shown.verbose:
            self._show_stderr(event.log)
        if event.state == "working":
            self._show_status(event)
        elif event.state != "started":
            self._end(event)

    def _begin(self, event: Event) -> None:
        self._read[event.log], self._lines[event.task] = event.log.stat().st_size, 0
        name = event.task.rpartition("/")[2]
        self._bars[event.task] = self._progress.add_task(f"  {name}", total=None, words="")

    def _show_status(self, event: Event) -> None:
        status, bar = event.status, self._bars[event.task]
        if "total" in status:
            words = f"{status['unit']}  {status['words']}"
            self._progress.update(bar, total=status["total"], completed=status["done"], words=words)
        quiet = self._shown.quiet or self._shown.verbose or not self._progress.disable
        if status["lines"] > self._lines[event.task] and not quiet:
            print(status["line"], file=sys.stderr, flush=True)
        self._lines[event.task] = status["lines"]

    def _show_stderr(self, log: Path) -> None:
        """Print what a task has written to stderr since the last time, in whole lines."""
        with log.open("rb") as file:
            file.seek(self._read[log])
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read[log] += len(whole)
        if whole:
            print(whole.decode(errors="replace"), end="", file=sys.stderr, flush=True)

    def _end(self, event: Event) -> None:
        self._progress.remove_task(self._bars.pop(event.task))
        if event.state == "failed" and event.exit_code not in (TERMINATED, PENDING):
            self._progress.console.print(f"{event.task}: attempt {event.attempt} failed")
        elif event.records:
            self._progress.advance(self._run)
            if not self._shown.quiet:
                self._progress.console.print(finished_line(event.records[-1]), soft_wrap=True)
