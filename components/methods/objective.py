"""The objective of a phase, on log-probabilities: what every method minimises (arXiv ids: see `methods`).

Shapes: B pairs; side 0 is the chosen response, side 1 the rejected one. Works in the precision of its input.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..core.errors import UserError
from .phases import Phase, PolicyRef, Reduction

if TYPE_CHECKING:
    import torch


def log_ratios(logprobs: "torch.Tensor", base: "torch.Tensor") -> "torch.Tensor":
    """`log π(y) − Σ_j w_j log π_j(y)` of both sides, from log π and the anchors' weighted sum, all (B, 2), in nats."""
    return logprobs - base


def margin(sides: "torch.Tensor") -> "torch.Tensor":
    """Chosen minus rejected, (B,), of values (B, 2): of log-ratios it is `h = D − Σ_j w_j D_j`, in nats."""
    return sides[:, 0] - sides[:, 1]


def losses(phase: Phase, ratios: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    """Each pair's loss of the phase's link, (B,), for log-ratios and labels z of both sides, (B, 2).

    squared     (h − c z)²,  z = (z_w − z_l) / 2
    logistic    −(1−ε) log σ(β h) − ε log σ(−β h)
    unpaired    ½ Σ_y (log π(y) − Σ_j w_j log π_j(y) − c z_y)²
    """
    return _LINKS[phase.link](phase, ratios, labels)


def objective(
    phase: Phase, logprobs: "torch.Tensor", base: "torch.Tensor", labels: "torch.Tensor", lengths: "torch.Tensor"
) -> "torch.Tensor":
    """Each pair's whole loss, (B,): that of its link times its weight, and its likelihood term −α log π(y_w).

    Args:
        phase: says which.
        logprobs: log π of both sides, (B, 2), in the phase's reduction; its gradient is the loss's.
        base: the anchors' weighted sum, likewise.
        labels: z of both sides, (B, 2).
        lengths: tokens of both responses, (B, 2).
    """
    found = losses(phase, log_ratios(logprobs, base), labels)
    if phase.weight == "likelihood":
        found = found * _reduced(phase, logprobs.detach(), lengths, "mean").sum(-1).exp()
    if phase.likelihood:
        found = found - phase.likelihood * _reduced(phase, logprobs, lengths, phase.likelihood_reduction)[:, 0]
    return found


def pair_losses(
    phase: Phase,
    chosen: "torch.Tensor",
    rejected: "torch.Tensor",
    anchors: Mapping[PolicyRef, tuple["torch.Tensor", "torch.Tensor"]],
    labels: "torch.Tensor | None" = None,
    lengths: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    """Each pair's loss, (B,), from log-probabilities alone, for a training loop of one's own.

    Args:
        phase: one of `method.phases(iteration)`.
        chosen: log π(y_w|x) of the policy in training, (B,), in nats, summed over the tokens of the response, or their
            mean where `phase.reduction` says so; its gradient is the loss's.
        rejected: log π(y_l|x), likewise.
        anchors: the two of each policy that `phase.weights` names.
        labels: z of either side, (B, 2), in [-1, 1], or their scores; left out: 1 and -1, the chosen response has won.
        lengths: how many tokens either response has, (B, 2); a phase with a `likelihood` or a `weight` needs them.

    Raises:
        UserError: an anchor is missing; or the phase's labels are more than who has won, or it needs lengths, and they
            are not given.
    """
    import torch

    weights = {policy: weight for policy, weight in phase.anchors.items() if weight}
    if missing := [str(policy) for policy in weights if policy not in anchors]:
        raise UserError(f"anchors: the log-probabilities of {', '.join(missing)} are missing; needed: {phase.weights}")
    told = phase.labels in ("soft", "score") or phase.comparisons in _AGAINST_OTHERS
    if labels is None and phase.link != "logistic" and told:
        raise UserError(f"labels: {phase.comparisons} pairs with {phase.labels} labels need z of both sides, (B, 2)")
    if lengths is None and (phase.likelihood or phase.weight != "one"):
        raise UserError("lengths: the phase's likelihood or weight needs the tokens of both responses, (B, 2)")
    logprobs = torch.stack((chosen, rejected), -1)
    base = sum((w * torch.stack(anchors[policy], -1) for policy, w in weights.items()), torch.zeros_like(logprobs))
    won = logprobs.new_tensor([1.0, -1.0]).expand_as(logprobs)
    tokens = torch.ones_like(logprobs) if lengths is None else lengths
    return objective(phase, logprobs, base, won if labels is None else labels, tokens)


def _reduced(phase: Phase, logprobs: "torch.Tensor", lengths: "torch.Tensor", wanted: Reduction) -> "torch.Tensor":
    """Log-probabilities (B, 2) of the phase's reduction in another one."""
    if phase.reduction == wanted:
        return logprobs
    return logprobs / lengths if wanted == "mean" else logprobs * lengths


def _squared(phase: Phase, ratios: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    return (margin(ratios) - phase.target * margin(labels) / 2) ** 2


def _logistic(phase: Phase, ratios: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    from torch.nn.functional import logsigmoid

    scaled = phase.beta * margin(ratios)
    return -(1.0 - phase.label_smoothing) * logsigmoid(scaled) - phase.label_smoothing * logsigmoid(-scaled)


def _unpaired(phase: Phase, ratios: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    return 0.5 * ((ratios - phase.target * labels) ** 2).sum(-1)


_AGAINST_OTHERS = ("win_rates", "extremes", "versus_opponent")
"""Comparisons after which a side's label is measured against other responses than the pair's own."""

_LINKS = {"squared": _squared, "logistic": _logistic, "unpaired": _unpaired}
