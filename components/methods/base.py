"""What every method's settings share."""

from abc import ABC, abstractmethod
from typing import Literal

from pydantic import Field, model_validator

from ..shared.settings import Settings
from .phases import Labels, Phase, Reduction


class Method(Settings, ABC):
    """A method: its constants under the paper's names, and its phases for any iteration."""

    name: str

    @abstractmethod
    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """The phases of iteration t = 1, 2, …, in their order; the last one makes the iteration's `main` policy."""


class PairedMethod(Method):
    """A method that learns from pairs of the policy's own responses."""

    samples: int = Field(2, ge=2)
    """K, the number of responses sampled per prompt."""
    temperature: float = Field(1.0, gt=0.0)
    """Sampling temperature; the theory's opponent is the policy itself, at 1."""
    comparisons: Literal["bracket", "iid"] = "iid"
    """iid: responses 1 and 2, 3 and 4, …, one comparison each, as the theory has it; bracket: best against worst of a
    tournament, as the paper's experiments have it (K a power of two)."""
    labels: Labels = "sampled"
    """sampled: a coin with the oracle's probability; binary: its side of 1/2 (a sharper game); soft: label 2p - 1."""
    reduction: Reduction = "sum"
    """How token log-probabilities make a response's: sum (the theory) or mean (some published code)."""

    @model_validator(mode="after")
    def _count_fits(self) -> "PairedMethod":
        if self.comparisons == "bracket" and self.samples & (self.samples - 1):
            below = 1 << (self.samples.bit_length() - 1)
            raise ValueError(
                f"samples is {self.samples}, but a bracket needs a power of two: set samples to {below} or "
                f"{2 * below}, or comparisons to iid"
            )
        if self.samples % 2:
            raise ValueError(f"samples is {self.samples}, but iid pairs need an even number: set {self.samples + 1}")
        return self
