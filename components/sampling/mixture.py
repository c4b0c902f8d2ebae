"""The token-level geometric mixture of models, inside transformers' own generation loop."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..models.padding import positions_of
from .processors import FiniteLogits

if TYPE_CHECKING:
    import torch


class GeometricMixture:
    """A logits processor that turns the scores of the model that generates into those of its mixture with others.

    The next token is drawn from the distribution proportional to Π_j π_j(· | prefix)^{w_j}. First in the list, before
    temperature and top-p. The other models keep a KV cache of their own.
    """

    def __init__(
        self,
        weight: float,
        others: Sequence[tuple[Any, float]],
        prompts: Sequence[Sequence[int]],
        mask: "torch.Tensor",
    ):
        """`weight` is the generating model's; `mask` (rows, length) is the attention mask of the padded prompts."""
        self._weight = weight
        self._others = [(_Companion(model), FiniteLogits(model, prompts), other) for model, other in others]
        self._mask = mask

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Log-probabilities (rows, vocabulary) of the mixture, up to a constant in each row."""
        import torch

        grown = input_ids.shape[1] - self._mask.shape[1]
        mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), grown)], dim=1)
        mixed = self._weight * scores.double().log_softmax(-1)
        for companion, finite, weight in self._others:
            logits = finite(input_ids, companion.logits(input_ids, mask))
            mixed = mixed + weight * logits.double().log_softmax(-1)
        return mixed.to(scores.dtype)


class _Companion:
    """A model that follows the same tokens."""

    def __init__(self, model: Any):
        self._model = model
        self._cache: Any = None
        self._seen = 0

    def logits(self, ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        """The next token's logits, (rows, vocabulary)."""
        positions = positions_of(mask)
        output = self._model(
            input_ids=ids[:, self._seen :],
            attention_mask=mask,
            position_ids=positions[:, self._seen :],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache, self._seen = output.past_key_values, ids.shape[1]
        logits: torch.Tensor = output.logits[:, -1]
        return logits
