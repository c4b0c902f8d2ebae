"""Attention by segments: several sequences in one row of tokens, each attending to itself and to a prefix of its own.

It is registered with transformers' attention interface, over the function that a model has had before, which goes on
to serve calls without segments. No mask of all tokens by all tokens is ever made.
"""

import sys
from collections.abc import Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from torch.nn import Module
    from transformers import PreTrainedModel

_NAME = "segments_over_"
_BLOCK = 512
"""Queries that share an explicit mask, so that masks grow with a sequence's length alone."""
_UNHEEDED = ("s_aux", "position_bias")
"""What some models give to their attention, and segments know nothing of."""
_BY_SEGMENTS: ContextVar[bool] = ContextVar("by_segments", default=False)


class Segment(NamedTuple):
    """Neighbouring tokens of a row that attend to themselves, causally, and to all tokens of a prefix before them."""

    start: int
    stop: int
    prefix: tuple[int, int] = (0, 0)
    """Where the prefix starts and stops in the row; empty without one."""


START = Segment(0, 0)
"""What comes before a sequence."""


def enabled(model: "PreTrainedModel") -> bool:
    """Whether the model's attention takes `segments`; else it would leave them out, and say nothing."""
    return str(model.config._attn_implementation).startswith(_NAME)


def enable(model: "PreTrainedModel") -> None:
    """Let the model's attention take `segments`; calls without them are computed as before."""
    from transformers import AttentionInterface, AttentionMaskInterface

    if not enabled(model):
        before = model.config._attn_implementation
        AttentionInterface.register(_NAME + before, partial(_attention, before))
        AttentionMaskInterface.register(_NAME + before, partial(_mask, before))
        model.set_attn_implementation(_NAME + before)


@contextmanager
def by_segments() -> "Iterator[None]":
    """Within, a model is called with segments, and makes no masks."""
    token = _BY_SEGMENTS.set(True)
    try:
        yield
    finally:
        _BY_SEGMENTS.reset(token)


def _mask(before: str, *arguments: Any, **named: Any) -> Any:
    """In place of a layer's mask its sliding window, if it has one."""
    from transformers import AttentionMaskInterface

    if not _BY_SEGMENTS.get():
        return AttentionMaskInterface()[before](*arguments, **named)
    if named.get("use_vmap"):
        raise NotImplementedError("a mask of the model's own")
    return named.get("local_size")


def _attention(
    before: str,
    module: "Module",
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: Any,
    *,
    segments: Sequence[Segment] | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    **others: Any,
) -> Any:
    """Queries, keys and values are (1, heads, tokens, width)."""
    import torch
    from transformers import AttentionInterface

    if segments is None:
        own: Any = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
        attend = AttentionInterface().get_interface(before, own)
        named = {"scaling": scaling, "dropout": dropout, "softcap": softcap, **others}
        return attend(module, query, key, value, attention_mask, **named)
    if any(others.get(name) is not None for name in _UNHEEDED):
        raise NotImplementedError("attention with terms of the model's own")
    repeats = query.shape[1] // key.shape[1]
    kernel = partial(_sdpa, scale=scaling, dropout=dropout) if softcap is None else partial(_capped, scaling, softcap)
    # Split where segments meet, and put together again: a selection's gradient would be as long as the whole row.
    lengths = [segment.stop - segment.start for segment in segments]
    queries, keys, values = (states.split(lengths, 2) for states in (query, key, value))
    numbers = {segment.start: number for number, segment in enumerate(segments)}
    parts = []
    for number, segment in enumerate(segments):
        seen = [numbers[segment.prefix[0]], number] if any(segment.prefix) else [number]
        k, v = (
            torch.cat([states[each] for each in seen], 2).repeat_interleave(repeats, 1) for states in (keys, values)
        )
        parts.append(_attended(kernel, queries[number], k, v, attention_mask, softcap is None))
    return torch.cat(parts, 2).transpose(1, 2), None


def _attended(
    kernel: "Callable[..., torch.Tensor]",
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    window: int | None,
    causal: bool,
) -> "torch.Tensor":
    """Attention of a segment; `causal`: the kernel needs no mask where there is no prefix."""
    import torch

    tokens, seen = query.shape[2], key.shape[2]
    if causal and tokens == seen and (window is None or seen <= window):
        return kernel(query, key, value)
    blocks = []
    for start in range(0, tokens, _BLOCK):
        places = torch.arange(start, min(start + _BLOCK, tokens), device=query.device)[:, None] + seen - tokens
        first = 0 if window is None else max(0, seen - tokens + start - window + 1)
        keys = torch.arange(first, int(places[-1]) + 1, device=query.device)
        mask = keys <= places
        if window is not None:
            mask &= keys > places - window
        chosen = slice(first, first + len(keys))
        part = query[:, :, start : start + _BLOCK]
        blocks.append(kernel(part, key[:, :, chosen], value[:, :, chosen], mask))
    return torch.cat(blocks, 2)


def _sdpa(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    mask: "torch.Tensor | None" = None,
    *,
    scale: float | None,
    dropout: float,
) -> "torch.Tensor":
    from torch.nn.functional import scaled_dot_product_attention

    return scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=mask is None, scale=scale)


def _capped(
    scale: float | None,
    softcap: float,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    mask: "torch.Tensor",
) -> "torch.Tensor":
    """Attention with capped scores, which no kernel has; they are computed again in the backward pass."""
    import torch
    from torch.utils.checkpoint import checkpoint

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scale is None else scale)
        scores = (scores / softcap).tanh() * softcap
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1, dtype=torch.float32)
        return weights.to(value.dtype) @ value

    attended: torch.Tensor = checkpoint(attend, query, key, value, use_reentrant=False, preserve_rng_state=False)
    return attended
