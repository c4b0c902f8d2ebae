"""Training in the step's own process."""

import os
from collections.abc import Callable
from typing import Any, Literal

from ...runtime.protocol import Call
from .base import Launcher


class Process(Launcher):
    """The step's own process, alone."""

    kind: Literal["process"] = "process"

    @property
    def several(self) -> bool:
        """It starts none."""
        return False

    def run(self, call: Call[Any], work: Callable[[], None]) -> None:
        """Carry it out here, alone even where the step itself is one of the processes of a torchrun."""
        os.environ.pop("RANK", None)
        work()
