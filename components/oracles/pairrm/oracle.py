"""PairRM (LLM-Blender, arXiv 2306.02561): an encoder reads a dialogue and two answers, a head scores both.

The hidden state at the dialogue's mark beside that at each answer's mark goes through one head of two layers, and the
logit is the difference of the two scores, a mean over tasks: σ of it is the probability in this order, as the model was
fitted, and position bias is averaged out: P(y ≻ y') = (p(y, y') + 1 − p(y', y)) / 2, above 1/2 where the published
comparison of the two logits is positive. The layout is that of llm-blender/PairRM-hf: `pretrained_model.*` is a
DeBERTa-v2 and `head_layer.1` and `head_layer.4` are the head. Its names were read in the published class, not in the
published weights.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..base import ABSTENTION, Oracle, Query, Verdict, sigmoid
from ..engines.base import OracleModel
from .prompt import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = {r"^pretrained_model\.": ""}
"""Where the encoder's tensors stand in the folder."""


def head_shapes_of(hidden: int, tasks: int) -> dict[str, tuple[int, ...]]:
    """The head's tensors."""
    return {
        "head_layer.1.weight": (hidden, 2 * hidden),
        "head_layer.1.bias": (hidden,),
        "head_layer.4.weight": (tasks, hidden),
        "head_layer.4.bias": (tasks,),
    }


class PairRMOracle(Oracle):
    """Preferences from the hidden states of a model at the marks of dialogue, first and second answer."""

    def __init__(self, model: OracleModel, head: Mapping[str, "NDArray[np.float64]"], encoder: Encoder) -> None:
        self._model, self._head, self._encoder = model, head, encoder

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """Read every pair in both orders.

        Raises:
            UserError: a hidden state is not finite, or others speak than a user and an assistant in turn.
        """
        orders = [
            [self._encoder.whole(asked.messages, asked.first, asked.second) for asked in (query, query.swapped())]
            for query in queries
        ]
        apart = [index for index, (forward, swapped) in enumerate(orders) if forward.ids != swapped.ids]
        logits = self._logits([encoded.ids for index in apart for encoded in orders[index]]) if apart else []
        verdicts = [ABSTENTION] * len(queries)
        for index, forward, swapped in zip(apart, logits[::2], logits[1::2], strict=True):
            cut = any(encoded.cut for encoded in orders[index])
            verdicts[index] = Verdict.of(sigmoid(forward), 1 - sigmoid(swapped), truncated=cut)
        return verdicts

    def _logits(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        """How much more the first answer scores than the second, in each sequence."""
        source, first, second = np.split(self._model.read(sequences, range(len(sequences))), 3, axis=1)
        scores = [self._scores(np.hstack([source, answer])) for answer in (first, second)]
        logits: list[float] = (scores[0] - scores[1]).mean(1).tolist()
        return logits

    def _scores(self, states: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """(sequences, tasks), of the hidden states of dialogue and answer, (sequences, 2 hidden)."""
        inner = np.tanh(states @ self._head["head_layer.1.weight"].T + self._head["head_layer.1.bias"])
        scores: NDArray[np.float64] = inner @ self._head["head_layer.4.weight"].T + self._head["head_layer.4.bias"]
        return scores
