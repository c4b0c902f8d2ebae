"""What the methods' settings share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal, TypedDict

from pydantic import Field, model_validator

from ..core.settings import Quantity, Settings
from .phases import Comparisons, Labels, Phase, PolicyRef, Reduction, Sampling

STEP, INVERSE_STEP = Quantity("step"), Quantity("step", inverse=True)
"""Mark the learning rate of mirror descent, s in π_{t+1} ∝ … exp(s P(y ≻ ·)), and 1/s: papers call both η."""
KL_WEIGHT = Quantity("KL weight")
"""Marks the weight of KL(π‖π_ref) beside a win rate: τ, or β."""


class Method(Settings, ABC):
    """A method: its constants under the paper's names, and its phases for any iteration."""

    name: str

    @abstractmethod
    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """The phases of iteration t = 1, 2, …, in their order; the last one makes the iteration's `main` policy."""


class Data(TypedDict):
    """A phase's data, as keyword arguments of `Phase`."""

    samples: tuple[Sampling, ...]
    comparisons: Comparisons
    labels: Labels
    reduction: Reduction


class SelfPlayMethod(Method):
    """A method that learns from responses that it samples itself."""

    samples: int = Field(2, ge=2)
    """K, the number of responses sampled per prompt."""
    temperature: float = Field(1.0, gt=0.0)
    """Sampling temperature of the pairs; the theory's policy is the one at 1."""
    comparisons: Comparisons
    labels: Labels = "sampled"
    """sampled: a coin with the oracle's probability; binary: its side of 1/2 (a sharper game); soft: label 2p - 1."""
    reduction: Reduction = "sum"
    """How token log-probabilities make a response's: sum (the theory) or mean (some published code)."""

    @model_validator(mode="after")
    def _count_fits(self) -> "SelfPlayMethod":
        if self.comparisons == "bracket" and self.samples & (self.samples - 1):
            below = 1 << (self.samples.bit_length() - 1)
            raise ValueError(
                f"samples is {self.samples}, but a bracket needs a power of two: set samples to {below} or "
                f"{2 * below}, or comparisons to iid"
            )
        if self.comparisons in ("iid", "win_rates", "versus_opponent") and self.samples % 2:
            raise ValueError(
                f"samples is {self.samples}, but comparisons is {self.comparisons}, whose pairs are neighbours and "
                f"need an even number: set samples to {self.samples + 1}"
            )
        return self

    def data(self, policies: Mapping[PolicyRef, float]) -> Data:
        """What is sampled from a policy, or from a mixture of weighted policies, and how it is compared."""
        samples = [Sampling(policies, self.samples, temperature=self.temperature)]
        if self.comparisons == "versus_opponent":
            samples.append(Sampling(policies, 1, role="opponent"))
        return Data(samples=tuple(samples), comparisons=self.comparisons, labels=self.labels, reduction=self.reduction)


class PairedMethod(SelfPlayMethod):
    """A method that regresses margins of pairs."""

    comparisons: Literal["bracket", "iid", "all_pairs", "max_min", "versus_opponent"] = "iid"
    """iid: responses 1 and 2, 3 and 4, …, one comparison each, as the theory has it; all_pairs: every two of the K;
    versus_opponent: neighbours, either measured against one more response, at temperature 1, so that the pairs may come
    from any temperature; bracket: best against worst of a tournament, as the paper's experiments have it (K a power of
    two); max_min: best against worst mean win rate (of rewards, the highest against the lowest unless labels are
    sampled). The pairs of the last two are no independent draws: their steps are larger than the theory's, and
    distorted. On the sandbox a bracket of 4 goes 1.6 times as far, one of 8 1.8; on weak preferences farther."""

    def target(self, step: float) -> float:
        """The regression's c, in nats, for a mirror step of size s: s/2, or s against a third response.

        (z_w − z_l)/2 averages to 2 P(y ≻ y') − 1 where the two of a pair are judged by each other, and to
        P(y ≻ π) − P(y' ≻ π) where π judges them: half the slope in a response's win rate.
        """
        return step if self.comparisons == "versus_opponent" else step / 2.0


class ClassifyingMethod(SelfPlayMethod):
    """A method that classifies pairs by a logistic loss."""

    comparisons: Literal["bracket", "iid", "all_pairs", "max_min"] = "iid"
    """As the squared methods have them: bracket, iid, all_pairs or max_min."""
    labels: Literal["sampled", "binary"] = "sampled"
    """sampled: a coin with the oracle's probability; binary: its side of 1/2."""
