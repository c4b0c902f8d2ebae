"""The objective of a phase, on log-probabilities: what every method minimises (arXiv ids: see `methods`).

Shapes: B pairs; side 0 is the chosen response, side 1 the rejected one. Works in the precision of its input.
"""

from typing import TYPE_CHECKING

from ..methods.phases import Phase

if TYPE_CHECKING:
    import torch


def log_ratios(logprobs: "torch.Tensor", base: "torch.Tensor") -> "torch.Tensor":
    """`log π(y) − Σ_j w_j log π_j(y)` of both sides, from log π and the anchors' weighted sum, all (B, 2), in nats."""
    return logprobs - base


def margin(sides: "torch.Tensor") -> "torch.Tensor":
    """Chosen minus rejected, (B,), of values (B, 2): of log-ratios it is `h = D − Σ_j w_j D_j`, in nats."""
    return sides[:, 0] - sides[:, 1]


def losses(phase: Phase, ratios: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    """Each pair's loss, (B,), for log-ratios and labels z in [-1, 1] of both sides, (B, 2).

    squared     (h − c z)²,  z = (z_w − z_l) / 2
    logistic    −(1−ε) log σ(β h) − ε log σ(−β h)
    unpaired    ½ Σ_y (log π(y) − Σ_j w_j log π_j(y) − c z_y)²
    """
    return _LINKS[phase.link](phase, ratios, labels)


def _squared(phase: Phase, ratios: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    return (margin(ratios) - phase.target * margin(labels) / 2) ** 2


def _logistic(phase: Phase, ratios: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    from torch.nn.functional import logsigmoid

    scaled = phase.beta * margin(ratios)
    return -(1.0 - phase.label_smoothing) * logsigmoid(scaled) - phase.label_smoothing * logsigmoid(-scaled)


def _unpaired(phase: Phase, ratios: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    return 0.5 * ((ratios - phase.target * labels) ** 2).sum(-1)


_LINKS = {"squared": _squared, "logistic": _logistic, "unpaired": _unpaired}
