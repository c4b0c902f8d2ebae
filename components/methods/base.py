"""Settings that the methods share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal, Self, TypedDict

from pydantic import Field, model_validator

from ..core.settings import Quantity, Settings
from .phases import REFERENCE, REFERENCE_APART, Comparisons, Labels, Phase, PolicyRef, Reduction, Sampling

STEP, INVERSE_STEP = Quantity("step"), Quantity("step", inverse=True)
"""Mark the learning rate of mirror descent, s in π_{t+1} ∝ … exp(s P(y ≻ ·)), and 1/s: papers call both η."""
KL_WEIGHT = Quantity("KL weight")
"""Marks the weight of KL(π‖π_ref) beside a win rate: τ, or β."""


class Method(Settings, ABC):
    """A method: its constants under the paper's names, and its phases for any iteration."""

    name: str
    reference_apart: bool = Field(False, exclude_if=lambda apart: not apart)
    """Whether π_ref is another policy than the one that training starts from. The recipe sets it: see
    `policy.reference`."""

    def told(self, apart: bool) -> Self:
        """The same method in a recipe whose reference is apart, or is not."""
        return self if apart == self.reference_apart else self.model_copy(update={"reference_apart": apart})

    @property
    def pi_ref(self) -> PolicyRef:
        """The reference policy, for anchors and samples; π_1 is `PolicyRef(0)` in any case."""
        return REFERENCE_APART if self.reference_apart else REFERENCE

    @abstractmethod
    def phases(self, iteration: int) -> tuple[Phase, ...]:
        """The phases of iteration t = 1, 2, …, in their order; the last one makes the iteration's `main` policy."""

    @property
    def game_tau(self) -> float | None:
        """The KL weight of the game whose equilibrium the method looks for; None where it plays no game."""
        fields = type(self).model_fields.items()
        return next((getattr(self, name) for name, field in fields if KL_WEIGHT in field.metadata), None)


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
    """Sampling temperature of the pairs; the theory assumes 1."""
    comparisons: Comparisons
    labels: Labels = "sampled"
    """Label of a pair, from the oracle's probability p. sampled: the winner is drawn with p; binary: the response with
    p > 1/2 wins (a sharper game); soft: the label is 2p - 1; score: it is the oracle's score, log p/(1 - p) of a
    reward model or a general preference model, by which the target is multiplied: a game whose payoff is the score."""
    reduction: Reduction = "sum"
    """A response's log-probability is the sum of its tokens' (the theory) or their mean (some published code)."""

    @model_validator(mode="after")
    def _count_fits(self) -> "SelfPlayMethod":
        if self.comparisons in ("bracket", "seeded") and self.samples & (self.samples - 1):
            below = 1 << (self.samples.bit_length() - 1)
            raise ValueError(
                f"samples is {self.samples}, but a bracket needs a power of two: set samples to {below} or "
                f"{2 * below}, or comparisons to iid"
            )
        if self.comparisons in ("iid", "win_rates", "versus_opponent") and self.samples % 2:
            raise ValueError(
                f"samples is {self.samples}, but comparisons is {self.comparisons}, which pairs neighbours and "
                f"needs an even number: set samples to {self.samples + 1}"
            )
        return self

    def data(self, policies: Mapping[PolicyRef, float]) -> Data:
        """The responses to sample from a policy, or from a weighted mixture of policies, and how to compare them."""
        samples = [Sampling(policies, self.samples, temperature=self.temperature)]
        if self.comparisons == "versus_opponent":
            samples.append(Sampling(policies, 1, role="opponent"))
        return Data(samples=tuple(samples), comparisons=self.comparisons, labels=self.labels, reduction=self.reduction)


class PairedMethod(SelfPlayMethod):
    """A method that regresses margins of pairs."""

    comparisons: Literal["bracket", "seeded", "iid", "all_pairs", "max_min", "versus_opponent"] = "iid"
    """iid: responses 1 and 2, 3 and 4, …, one comparison each, as the theory assumes; all_pairs: every two of the K;
    versus_opponent: pairs of neighbours, each response compared with one further response sampled at temperature 1, so
    that the pairs may be sampled at any temperature; bracket: the best against the worst of a knock-out tournament, as
    in the paper's experiments (K a power of two); seeded: a bracket in which responses that the cheap oracle
    `judging.seeding` ranks highest, or lowest, meet late; max_min: the response with the highest mean win rate against
    the one with the lowest (with a reward model and labels that are not sampled: highest against lowest reward). The
    pairs of the last three are not independent draws, so their steps are larger than the theory's, and distorted: on
    the sandbox world 1.6 times as large with a bracket of 4 and 1.8 times with one of 8, and larger with weak
    preferences."""

    def target(self, step: float) -> float:
        """The regression's c, in nats, for a mirror step of size s: s/2, or s against a third response.

        (z_w − z_l)/2 averages to 2 P(y ≻ y') − 1 where the two of a pair are judged by each other, and to
        P(y ≻ π) − P(y' ≻ π) where π judges them: half the slope in a response's win rate.
        """
        return step if self.comparisons == "versus_opponent" else step / 2.0


class ClassifyingMethod(SelfPlayMethod):
    """A method that classifies pairs by a logistic loss."""

    comparisons: Literal["bracket", "seeded", "iid", "all_pairs", "max_min"] = "iid"
    """As for the methods with a squared loss."""
    labels: Literal["sampled", "binary"] = "sampled"
    """Label of a pair, from the oracle's probability p. sampled: the winner is drawn with p; binary: the response with
    p > 1/2 wins."""
