"""What a training's figures say: of each pair while it goes on, of all of it at its end, and what people are warned of.

Anchors have weights w_j; u(y) = log π(y|x) − Σ_j w_j log π_j(y|x), and h = u(y_w) − u(y_l). With `reduction: mean` all
of these are means over a response's tokens, but for the KL divergences.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..methods import objective
from ..methods.phases import Phase
from .data import PairData

if TYPE_CHECKING:
    import torch

_FAR = 1 / 50
"""The part of its target below which |h| is worth a warning."""
_FALLEN = 1 / 10
"""The part of the margin by which a fall of the chosen responses' likelihood is worth a warning."""


def pair_figures(
    phase: Phase,
    logprobs: "torch.Tensor",
    base: "torch.Tensor",
    anchors: Mapping[str, "torch.Tensor"],
    lengths: "torch.Tensor",
) -> "dict[str, torch.Tensor]":
    """Figures of each of B pairs, (B,), without gradients.

    h                   in nats
    accuracy            1 where h > 0
    h_over_target       |h| / |c|, of a squared link
    chosen_ratio        u(y_w), how much likelier the chosen response is than under the anchors, in nats
    rejected_ratio      u(y_l)
    chosen_logprob      log π(y_w|x), in nats
    rejected_logprob    log π(y_l|x)
    length_drift        h (|y_w| − |y_l|) / 2: the tokens that responses become longer on average, to first order, if
                        a pair's are two independent draws
    kl/<policy>         of each anchor: the mean over both of log π_j − log π where the responses are π_j's, which for
                        independent draws estimates KL(π_j‖π); else of log π − log π_j, about KL(π‖π_j) as long as π
                        is near the policy that drew them

    Args:
        phase: of the pairs.
        logprobs: log π of both sides, (B, 2), by the phase's reduction; the others likewise.
        base: Σ_j w_j log π_j.
        anchors: log π_j by the name of the policy.
        lengths: tokens of both responses.
    """
    logprobs = logprobs.detach()
    ratios = objective.log_ratios(logprobs, base)
    h = objective.margin(ratios)
    figures = {"h": h, "accuracy": (h > 0).to(h.dtype)}
    if phase.link == "squared":
        figures["h_over_target"] = h.abs() / abs(phase.target)
    figures |= {f"{side}_ratio": ratios[:, place] for place, side in enumerate(("chosen", "rejected"))}
    figures |= {f"{side}_logprob": logprobs[:, place] for place, side in enumerate(("chosen", "rejected"))}
    figures["length_drift"] = h * objective.margin(lengths) / 2
    tokens = lengths if phase.reduction == "mean" else 1
    for name, values in anchors.items():
        nats = ((logprobs - values) * tokens).mean(-1)
        figures[f"kl/{name}"] = -nats if name == _drawn_from(phase) else nats
    return figures


def _drawn_from(phase: Phase) -> str | None:
    """The policy that a phase's responses are drawn from, if they are one policy's."""
    policies = {name for sampling in phase.samples if sampling.role == "pair" for name in sampling.weights}
    return policies.pop() if len(policies) == 1 else None


def summary(phase: Phase, data: PairData, curves: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The figures of a training: means over its last tenth of updates; of the first one the loss and h; the share of
    updates whose gradient was clipped; the anchors' mean margins; the mean lengths of the responses, in tokens."""
    tail = max(1, len(curves["loss"]) // 10)
    figures = {name: float(np.mean(values[-tail:])) for name, values in curves.items() if name != "learning_rate"}
    figures |= {"loss_first": curves["loss"][0], "h_first": curves["h"][0]}
    figures["clipped"] = float(np.mean(curves["clipped"]))
    for name in phase.weights:
        figures[f"margin/{name}"] = float((data.anchors[name][:, 0] - data.anchors[name][:, 1]).mean())
    chosen, rejected = data.lengths.mean(0).tolist()
    return figures | {"chosen_length": chosen, "rejected_length": rejected}


def warnings(phase: Phase, figures: Mapping[str, Any]) -> Iterator[str]:
    """What a training's figures warn of."""
    h = figures["h"]
    if figures.get("h_over_target", 1.0) < _FAR:
        yield (
            f"|h| is {figures['h_over_target']:.2g} of the target c = {phase.target:.3g} nats: so far from it the loss "
            "is all but linear in h, and the anchors count for little: make method.eta such that c is smaller, or set "
            "method.reduction to sum"
        )
    chosen, rejected = figures["chosen_ratio"], figures["rejected_ratio"]
    if rejected < 0 and chosen < -_FALLEN * abs(h):
        yield (
            f"chosen and rejected responses have both become less likely than under the anchors, by {-chosen:.3g} and "
            f"{-rejected:.3g} nats, so that others have become likelier than either: lower training.learning_rate or "
            "training.epochs"
        )
