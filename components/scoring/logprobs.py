"""Log-probabilities of responses: one implementation for the cached ones and for the trained ones."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..methods.phases import Reduction
from ..models.finite import TRAINED, require_finite
from ..models.padding import padded, positions_of
from ..runtime.progress import over

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Pair = tuple[Sequence[int], Sequence[int]]
"""Token ids of a prompt and of a response, neither empty."""

_REMEDY = f"{TRAINED}; else set logprobs.dtype to float32"
CHUNK = 1 << 24  # logits reduced at a time: 64 MiB in float32


def sequence_logprobs(model: "PreTrainedModel", pairs: Sequence[Pair], reduction: Reduction = "sum") -> "torch.Tensor":
    """log π(response | prompt) in nats, shape (pairs,): summed over the response's tokens, EOS included, or their mean.

    Differentiable. Reduced in float32, or in float64 for a float64 model. Sequences are padded on the left, so that all
    responses end together and the language-model head runs on response positions alone.

    Raises:
        ValueError: a prompt or a response without tokens.
    """
    import torch

    if not all(prompt and response for prompt, response in pairs):
        raise ValueError("every prompt and every response needs at least one token")
    lengths = torch.tensor([len(response) for _, response in pairs], device=model.device)
    longest = max(len(response) for _, response in pairs)
    ids, mask = padded([[*prompt, *response] for prompt, response in pairs], "left", model.device)
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions_of(mask),
        logits_to_keep=longest + 1,
        use_cache=False,
    ).logits[:, -longest - 1 : -1]
    tokens = _token_logprobs(logits, ids[:, -longest:])
    inside = torch.arange(longest, 0, -1, device=model.device) <= lengths[:, None]
    sums = torch.where(inside, tokens, 0.0).sum(-1)
    return sums / lengths if reduction == "mean" else sums


def bucket(pairs: Sequence[Pair], max_tokens: int) -> list[list[int]]:
    """Micro-batches of similar lengths: lists of indices, each at most `max_tokens` with padding, or one sequence.

    A function of the lengths alone: by length, then by index.
    """
    lengths = [len(prompt) + len(response) for prompt, response in pairs]
    batches: list[list[int]] = []
    for index in sorted(range(len(pairs)), key=lambda index: (lengths[index], index)):
        if batches and (len(batches[-1]) + 1) * lengths[index] <= max_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


class TransformersScorer:
    """A model that scores responses."""

    def __init__(self, model: "PreTrainedModel"):
        self._model = model

    def score(self, pairs: Sequence[Pair], max_tokens: int) -> list[float]:
        """`sequence_logprobs` without gradients, in the micro-batches of `bucket`, in the order of `pairs`.

        Raises:
            UserError: one is no finite number.
        """
        import torch

        def read(batch: Sequence[int]) -> dict[str, int]:
            return {"tokens": tokens_of(pairs[index] for index in batch)}

        scores = [0.0] * len(pairs)
        for batch in over(bucket(pairs, max_tokens), "sequences", len(pairs), amounts=read):
            with torch.inference_mode():
                values = sequence_logprobs(self._model, [pairs[index] for index in batch])
            require_finite(values, self._model, [pairs[index][0] for index in batch], _REMEDY)
            for index, value in zip(batch, values.tolist(), strict=True):
                scores[index] = value
        return scores


def tokens_of(pairs: Iterable[Pair]) -> int:
    """How many tokens a model reads to score responses, those of the prompts among them."""
    return sum(len(prompt) + len(response) for prompt, response in pairs)


def _token_logprobs(logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    """Log-probability of each target, (rows, tokens), from logits (rows, tokens, vocabulary)."""
    import torch

    dtype = torch.promote_types(logits.dtype, torch.float32)
    rows = max(1, CHUNK // (logits.shape[1] * logits.shape[2]))
    chunks = []
    for chunk, target in zip(torch.split(logits, rows), torch.split(targets, rows), strict=True):
        wide = chunk.to(dtype)
        chunks.append(wide.gather(-1, target[..., None]).squeeze(-1) - wide.logsumexp(-1))
    return torch.cat(chunks)
