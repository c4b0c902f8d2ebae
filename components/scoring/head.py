"""The language-model head on response positions alone: log-probabilities of tokens, and never all logits at once."""

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from ..core.errors import UserError
from .log_softmax import log_softmax_at

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

CHUNK, KEPT_CHUNKS = 1 << 24, 4
"""Logits at a time, 64 MiB in float32, and how many times as many are kept for the backward pass."""
_ON_GPU = 8
"""How many times as many on a GPU, which products of few rows leave idle."""
_APART, _APART_BFLOAT16 = 1e-4, 1e-2
"""How far logits may be from the model's own, as parts of the largest: by rounding, which is 2⁻⁸ of a number in
bfloat16, at each of up to three steps. Measured on tiny models of nine families, in both precisions: not at all."""
_SOFT_CAPS = ("final_logit_softcapping", "logits_soft_cap")
_FACTORS = ("logit_scale", "output_multiplier", "lm_head_multiplier")
_DIVISORS = ("logits_scaling",)


def token_logprobs(model: "PreTrainedModel", hidden: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    """Log-probability of each target, (tokens,), in nats, from the hidden states that predict it, (tokens, width).

    Differentiable: logits are computed chunk by chunk, and again in the backward pass where they are more than are
    kept. Reduced in float32, or in float64 for a float64 model.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    size = CHUNK * (_ON_GPU if hidden.is_cuda else 1)
    rows = max(1, size // model.get_output_embeddings().weight.shape[0])
    chunks = list(zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True))
    again = partial(checkpoint, _chunk, use_reentrant=False, preserve_rng_state=False)
    # The last ones are kept, whose backward pass comes first.
    first = max(0, len(chunks) - KEPT_CHUNKS)
    return torch.cat([(_chunk if place >= first else again)(model, *chunk) for place, chunk in enumerate(chunks)])


def check_head(model: "PreTrainedModel") -> None:
    """Refuse a model whose logits are not those that `token_logprobs` computes from its last hidden states.

    Raises:
        UserError: names the model's folder.
    """
    import torch

    apart = torch.tensor(torch.inf)
    if model.get_output_embeddings() is not None and model.base_model is not model:
        ids = torch.arange(4, device=model.device)[None]
        with torch.no_grad(), suppress(RuntimeError):  # states of another width than the last layer's
            expected = model(input_ids=ids, use_cache=False).logits[0]
            found = _logits(model, model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0])
            apart = (found - expected).abs() / expected.abs().max()
    if (apart > (_APART_BFLOAT16 if model.dtype == torch.bfloat16 else _APART)).any():  # NaN is refused elsewhere
        raise UserError(
            f"the model in {model.name_or_path} ({model.config.model_type}) makes its logits in a way that is not "
            "known here, so its log-probabilities would be wrong: set policy.model to a model of another family"
        )


def _chunk(model: "PreTrainedModel", hidden: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    import torch

    logits = _logits(model, hidden)
    return log_softmax_at(logits.to(torch.promote_types(logits.dtype, torch.float32)), targets)


def _logits(model: "PreTrainedModel", hidden: "torch.Tensor") -> "torch.Tensor":
    """The model's logits, scaled and capped as its family does."""
    config = model.config.get_text_config()
    logits: torch.Tensor = model.get_output_embeddings()(hidden)
    for factor in filter(None, (getattr(config, name, None) for name in _FACTORS)):
        logits = logits * factor
    for divisor in filter(None, (getattr(config, name, None) for name in _DIVISORS)):
        logits = logits / divisor
    for cap in filter(None, (getattr(config, name, None) for name in _SOFT_CAPS)):
        logits = (logits / cap).tanh() * cap
    return logits
