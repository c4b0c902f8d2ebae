"""Whether the cached log-probabilities are those that training computes: asked before the first update."""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import UserError
from ..fitting.memory import Memory
from ..methods import objective
from ..models.folders import Dtype
from .data import PairData
from .loop import Trainer

if TYPE_CHECKING:
    import torch

TOLERANCE: Mapping[Dtype, float] = {"float32": 0.05, "bfloat16": 1.0}
"""Largest difference, in nats a response, of a cached log-probability from training's own, by training's precision.

Measured at 16 to 500 tokens: in float32, other batches change a value by up to 0.0006 and another engine by up to
0.0044, while bfloat16 is 0.1 to 1.3 away. In bfloat16 other batches alone move it by up to 0.4; only a gross fault,
such as a token too many, can be told from that.
"""


def check_finite(data: PairData, places: Callable[[str], str]) -> None:
    """Refuse cached log-probabilities that are no numbers.

    Args:
        data: the pairs.
        places: what to delete where a policy's are not, for people, by its name.

    Raises:
        UserError: one is not finite; names its policy and its row.
    """
    for name, values in data.anchors.items():
        for index, side in np.argwhere(~np.isfinite(values)).tolist():
            (row_id, pair), response = data.rows[index], ("chosen", "rejected")[side]
            raise UserError(
                f"the cached log-probability of {name} for the {response} response of row_id {row_id}, pair {pair}, is "
                f"{values[index, side]}: delete {places(name)}, and run the same command again"
            )


def check_agreement(trainer: Trainer, places: str) -> dict[str, float]:
    """The figure `cache_mismatch`: the largest difference, in nats a response, between the cached log-probabilities of
    the policy that training starts from and those that it computes, on the pairs of its first update.

    Empty where that policy is no anchor. Where it is the only one, every log-ratio is 0 before the first update, so the
    loss has a known value: c² of a squared link with labels ±1, ln 2 of a logistic one. That is checked, too. Nothing
    is refused where an adapter starts from other weights.

    Args:
        trainer: before its first update.
        places: what to delete where they differ, for people.

    Raises:
        UserError: they differ by more than rounding.
    """
    name, phase = str(trainer.phase.start_from), trainer.phase
    if name not in phase.weights:
        return {}
    batch, live = _live(trainer)
    tolerance = TOLERANCE[trainer.settings.engine.dtype]
    lengths = trainer.data.lengths[batch] if phase.reduction == "mean" else 1
    differences = (live.double().cpu().numpy() - trainer.data.anchors[name][batch]) * lengths
    mismatch = float(trainer.descent.gathered([np.abs(differences).max(initial=0.0)]).max())
    if not trainer.settings.adapter.exact:
        return {"cache_mismatch": mismatch}
    remedy = f"delete {places}, and run the same command again"
    if not mismatch <= tolerance:
        raise UserError(
            f"phase {phase.name}: the cached log-probabilities of {name} differ by up to {mismatch:.3g} nats from "
            f"those that training computes, more than the {tolerance} of rounding: other versions or another machine "
            f"have made them; {remedy}"
        )
    if list(phase.weights) == [name]:
        found, expected, apart = _first_loss(trainer, batch, live, tolerance)
        if not abs(found - expected) <= apart:
            raise UserError(
                f"phase {phase.name}: the first loss is {found:.6g}, but {expected:.6g} for a policy that is its only "
                f"anchor, whatever its pairs: {remedy}"
            )
    return {"cache_mismatch": mismatch}


def _live(trainer: Trainer) -> tuple[list[int], "torch.Tensor"]:
    """The pairs of the first update that are this rank's, in the order of their micro-batches; their log-probabilities
    as training computes them, (pairs, 2)."""
    import torch

    batch, values = next(trainer.plan()), []
    parts = trainer.parts(batch)
    memory = Memory(trainer.model.device, trainer.budget)
    with torch.no_grad():
        for part in parts:
            taken = part or batch[:1]
            with memory.of_pass(trainer.tokens_of_pass(taken), trainer.longest):
                values.append(trainer.descent.forward(trainer.logprobs, taken)[: len(part)])
    return list(chain.from_iterable(parts)), torch.cat(values)


def _first_loss(
    trainer: Trainer, batch: list[int], live: "torch.Tensor", tolerance: float
) -> tuple[float, float, float]:
    """The regression's mean loss in a batch, that of log-ratios of 0, and how far ratios within the tolerance take it
    from there."""
    import torch

    labels, base = trainer.labels[batch], trainer.base[batch]
    zero = torch.zeros_like(base)
    off = tolerance * zero.new_tensor([1.0, -1.0])
    ratios = objective.log_ratios(live, base), zero, zero + off, zero - off
    found, expected, *ends = (objective.losses(trainer.phase, each, labels) for each in ratios)
    apart = torch.maximum(*((end - expected).abs() for end in ends))
    sums = [float(each.sum()) for each in (found, expected, apart)]
    *totals, pairs = trainer.descent.gathered([*sums, len(batch)]).sum(0)
    first, second, third = (float(total / pairs) for total in totals)
    return first, second, third
