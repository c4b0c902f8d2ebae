"""A method as data: the phases of one iteration.

Nearly every method of the field is one regression. With `D_j = log π_j(y_w|x) − log π_j(y_l|x)`, `D` that of the policy
in training and `h = D − Σ_j w_j D_j`, a phase minimises over pairs

    squared    (h − c z)²,  z = (z_w − z_l) / 2
    logistic   −(1−ε) log σ(β h) − ε log σ(−β h)
    unpaired   ½ Σ_{y ∈ {w, l}} (log π(y) − Σ_j w_j log π_j(y) − c z_y)²

where w are the `anchors`, c is the `target`, z_y the label of a response (against the other one: z_l = −z_w), in
[−1, 1] but for scores, and ε the `label_smoothing`. Who generated the pairs is the opponent, unless they were measured
against another one; the anchors decide the base measure only. A pair's loss may have a `weight`, and may be added a
`likelihood` term −α log π(y_w).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Comparisons = Literal[
    "bracket", "seeded", "iid", "all_pairs", "win_rates", "extremes", "max_min", "versus_opponent", "given"
]
Link = Literal["squared", "logistic", "unpaired"]
Labels = Literal["binary", "sampled", "soft", "score"]
Reduction = Literal["sum", "mean"]


@dataclass(frozen=True, order=True)
class PolicyRef:
    """A policy of a run: the iteration that made it (0: it was there before) and the method's name for it."""

    iteration: int
    name: str = "main"

    def __str__(self) -> str:
        return f"{self.iteration:03d}/{self.name}"


REFERENCE = PolicyRef(0)
"""π_1, which is π_ref too, unless that is apart."""
REFERENCE_APART = PolicyRef(0, "reference")
"""π_ref, where training starts from another policy."""


@dataclass(frozen=True)
class Sampling:
    """`count` responses a prompt from a policy, or from the token-level geometric mixture of policies: each token from
    the distribution proportional to Π_j π_j(· | prefix)^{w_j}, the weights w summing to one."""

    policies: Mapping[PolicyRef, float]
    count: int
    role: Literal["pair", "opponent"] = "pair"
    """An opponent is compared with the other responses; it is never part of a pair, and it is sampled last."""
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if abs(sum(self.policies.values()) - 1.0) > 1e-9:
            raise ValueError(f"the weights of the policies that are sampled, {dict(self.policies)}, do not sum to 1")

    @property
    def weights(self) -> dict[str, float]:
        """The policies that count, by their text form, in a fixed order."""
        return _weights(self.policies)


@dataclass(frozen=True)
class Phase:
    """One round of data and one training: what is sampled, how it is compared, and the regression that is trained."""

    name: str
    """Names the phase's folder."""
    anchors: Mapping[PolicyRef, float]
    """w_j by policy; the weights sum to one, so that the bias towards a length cancels."""
    link: Link
    start_from: PolicyRef
    """The policy that training starts from."""
    result: PolicyRef
    """The policy that training makes."""
    samples: tuple[Sampling, ...] = ()
    """The responses to sample; empty if the data are given or come from an earlier phase."""
    data_from: str | None = None
    """An earlier phase of this iteration; its pairs are used again."""
    given: Literal["responses", "pairs"] | None = None
    """Data that come with the prompts: responses join the samples, pairs replace them."""
    comparisons: Comparisons = "iid"
    target: float = 0.0
    """c of the squared and the unpaired link, in nats; where labels are scores, their scale."""
    beta: float = 1.0
    """Scale of the logistic link."""
    label_smoothing: float = 0.0
    """ε of the logistic link."""
    likelihood: float = 0.0
    """α ≥ 0 of −α log π(y_w|x), which each pair's loss is added, so that the chosen response does not become rare (RPO,
    arXiv 2404.19733; ENPO, arXiv 2606.01382)."""
    likelihood_reduction: Reduction = "mean"
    """That log π is the mean over the tokens (RPO) or their sum (ENPO)."""
    weight: Literal["one", "likelihood"] = "one"
    """What the regression's loss is multiplied by: one; or likelihood, the product of both sides' exp of the mean log π
    of a token, without a gradient: pairs that the policy would hardly sample count little (WPO, arXiv 2406.11827, which
    also divides by how much the policy agrees with itself)."""
    labels: Labels = "sampled"
    margin: float = 0.0
    """Least |2p − 1| of a pair that is kept."""
    reduction: Reduction = "sum"
    updates: int | None = None
    """Optimiser updates on these data; None means the training settings' epochs."""
    note: str = ""
    """A note for the user if this phase deviates from the settings."""

    def __post_init__(self) -> None:
        total = sum(self.anchors.values())
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"phase {self.name}: the anchors' weights sum to {total}, not to 1")
        if sum(source is not None for source in (self.data_from, self.given)) + bool(self.samples) == 0:
            raise ValueError(f"phase {self.name}: no data: set samples, data_from or given")

    @property
    def weights(self) -> dict[str, float]:
        """The anchors that count, by the text form of their policy: non-zero weights only, in a fixed order."""
        return _weights(self.anchors)


def _weights(policies: Mapping[PolicyRef, float]) -> dict[str, float]:
    return {str(policy): weight for policy, weight in sorted(policies.items()) if weight != 0.0}


def merge(*weighted: tuple[PolicyRef, float]) -> dict[PolicyRef, float]:
    """Anchors from (policy, weight) pairs, adding the weights of a policy that occurs twice (at t = 1, π_t = π_ref)."""
    anchors: dict[PolicyRef, float] = {}
    for policy, weight in weighted:
        anchors[policy] = anchors.get(policy, 0.0) + weight
    return anchors
