"""Events of a run, and its exceptions."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Event:
    """One attempt at one task has started, gets on or has ended."""

    task: str
    """Names of the sub-pipelines, loops and iterations that the task sits in, and its own, joined by slashes."""
    argv: tuple[str, ...]
    """The command, placeholders resolved."""
    state: Literal["started", "working", "succeeded", "failed"]
    attempt: int
    """1 for the first."""
    log: Path
    """The task's stderr; its stdout is beside it, in `.out`."""
    seconds: float = 0.0
    exit_code: int | None = None
    """As a shell has it: 128 + n for a process that signal n ended. None while the task runs."""
    records: tuple[dict[str, Any], ...] = ()
    """The JSON objects that the task printed on stdout, one a line."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """How a task that is working gets on, as it says itself: see the steps' `voice`."""


class StepFailed(Exception):
    """A step failed for good. The message is one line: the last one on its stderr."""

    def __init__(self, task: str, exit_code: int, line: str, log: Path) -> None:
        super().__init__(line)
        self.task, self.exit_code, self.log = task, exit_code, log


class Interrupted(Exception):
    """SIGINT or SIGTERM ended the run; every step has ended."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.exit_code = 128 + signal_number
