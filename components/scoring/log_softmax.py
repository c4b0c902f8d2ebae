"""The logarithm of a softmax at one place a row, whose backward pass needs no memory of its own."""

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def log_softmax_at(logits: "torch.Tensor", places: "torch.Tensor") -> "torch.Tensor":
    """`logits.log_softmax(-1)` at one place of each row, (rows,), from (rows, places).

    Differentiable, once: the logits are not kept, and the backward pass turns the softmax into their gradient in place.
    """
    values: torch.Tensor = _function().apply(logits, places)
    return values


@functools.cache
def _function() -> Any:
    import torch

    class LogSoftmaxAt(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
            values = logits.log_softmax(-1)
            ctx.save_for_backward(values, places)
            return values.gather(-1, places[:, None]).squeeze(-1)

        @staticmethod
        def backward(ctx: Any, gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
            values, places = ctx.saved_tensors
            scaled = values.exp_().mul_(-gradients[:, None])
            return scaled.scatter_add_(1, places[:, None], gradients[:, None]), None

    return LogSoftmaxAt
