"""A model that scores responses, for the cached log-probabilities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..models.finite import TRAINED, require_finite
from ..runtime.progress import over
from .batches import bucket
from .groups import Pair, grouped, tokens_of
from .layouts.base import Layout

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_REMEDY = f"{TRAINED}; else set logprobs.dtype to float32"


class TransformersScorer:
    """A model that scores responses by a layout."""

    def __init__(self, model: "PreTrainedModel", layout: Layout):
        """Raises UserError if the layout refuses the model."""
        layout.check(model)
        self._model, self._layout = model, layout

    def score(self, pairs: Sequence[Pair], max_tokens: int) -> list[float]:
        """The layout's log-probabilities without gradients, in the micro-batches of `bucket`, in the order of `pairs`.

        Raises:
            UserError: one is no finite number.
        """
        import torch

        def read(batch: Sequence[int]) -> dict[str, int]:
            return {"tokens": tokens_of(pairs[index] for index in batch)}

        scores = [0.0] * len(pairs)
        batches = bucket(pairs, max_tokens, self._layout)
        for batch in over(batches, "sequences", len(pairs), amounts=read):
            with torch.inference_mode():
                values = self._layout.logprobs(self._model, grouped([pairs[index] for index in batch]))
            require_finite(values, self._model, [pairs[index][0] for index in batch], _REMEDY)
            for index, value in zip(batch, values.tolist(), strict=True):
                scores[index] = value
        return scores
