"""Training by torch alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...methods.phases import Phase
from ..data import PairData
from ..loop import Trainer
from .base import TrainingEngine

if TYPE_CHECKING:
    from ..settings import TrainingSettings


class Torch(TrainingEngine):
    """One process, on CPU or one GPU."""

    kind: Literal["torch"] = "torch"

    def check(self) -> None:
        """Nothing to refuse: torch comes with the steps."""

    def require_here(self) -> None:
        """Nothing to refuse, either."""

    def open(
        self, start: Path, phase: Phase, data: PairData, settings: "TrainingSettings", seed: tuple[int | str, ...]
    ) -> Trainer:
        """The policy in float32 in this process."""
        return Trainer(self.opened(start, settings, seed), phase, data, settings, seed)
