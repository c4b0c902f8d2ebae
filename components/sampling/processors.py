"""Sampling in which each response has its own randomness, inside transformers' own generation loop."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..models.finite import TRAINED, require_finite

if TYPE_CHECKING:
    import torch
    from transformers import LogitsProcessorList, PreTrainedModel

_REMEDY = f"{TRAINED}; else set rollout.dtype to float32"


class FiniteLogits:
    """A logits processor that refuses scores of a model which give no distribution; first in the list."""

    def __init__(self, model: "PreTrainedModel", prompts: Sequence[Sequence[int]]):
        """`prompts` are the rows' token ids, without padding."""
        self.model = model
        self.prompts = prompts

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """The scores (rows, vocabulary). A model may forbid tokens by -inf, but not all of them.

        Raises:
            UserError: a row has NaN or +inf, or nothing but -inf.
        """
        # One pass: the largest of a row is finite in no such case.
        require_finite(scores.amax(-1), self.model, self.prompts, _REMEDY)
        return scores


class SeededSampler:
    """A logits processor that draws each row's next token from that row's own random numbers and forces it.

    Last in the list and with `do_sample=False`, it turns greedy decoding into sampling. Token `t` of a row is the
    inverse of the row's cumulative distribution at the row's `t`-th uniform number, so the token depends on nothing but
    the row. What padding and batch size do to the last bits of the logits can still tip a draw that lies on a boundary.
    Measured with a vocabulary of 8,192 at temperature 1, another batch size changes no token in float64, one in about
    10,000 in float32 (a large vocabulary's tail has many boundaries) and one in about 100 in bfloat16.
    """

    def __init__(self, seeds: Sequence[int], prompt_length: int, max_new_tokens: int):
        """`prompt_length` is the padded length of the prompts in the batch."""
        self.prompt_length = prompt_length
        self.uniforms = np.stack([uniforms(seed, max_new_tokens) for seed in seeds])

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Scores (rows, vocabulary) that leave one token possible in each row."""
        import torch

        position = input_ids.shape[1] - self.prompt_length
        probabilities = scores.double().softmax(-1)
        cumulative = probabilities.cumsum(-1)
        uniform = torch.from_numpy(self.uniforms[:, position, None]).to(scores.device)
        # Summed in parallel, the cumulative may rise by a rounding error where the probability is nought.
        reached = (cumulative > uniform * cumulative[:, -1:]) & (probabilities > 0)
        chosen = reached.int().argmax(-1, keepdim=True)  # the first one
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen, 0.0)


def uniforms(seed: int, count: int) -> NDArray[np.float64]:
    """`count` numbers in [0, 1), the first of a longer series being the same."""
    # The raw stream of a bit generator never changes between numpy versions; that of Generator's methods may.
    raw = np.random.Philox(seed).random_raw(count) >> np.uint64(11)
    return raw.astype(np.float64) * 2.0**-53


def processors(
    seeds: Sequence[int], prompt_length: int, *, temperature: float, top_p: float, max_new_tokens: int
) -> "LogitsProcessorList":
    """Temperature, then top-p (both transformers' own), then the seeded draw; nothing at temperature 0 (greedy)."""
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    chain = LogitsProcessorList()
    if temperature == 0:
        return chain
    if temperature != 1:
        chain.append(TemperatureLogitsWarper(float(temperature)))
    if top_p < 1:
        chain.append(TopPLogitsWarper(top_p))
    chain.append(SeededSampler(seeds, prompt_length, max_new_tokens))
    return chain
