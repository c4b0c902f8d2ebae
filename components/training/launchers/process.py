"""Training in the step's own process."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from ...runtime.protocol import Call
from .base import Launcher


class Process(Launcher):
    """The step's own process, alone."""

    kind: Literal["process"] = "process"
    several: ClassVar[bool] = False

    def run(self, call: Call[Any], work: Callable[[], None]) -> None:
        """Carry it out here."""
        work()
