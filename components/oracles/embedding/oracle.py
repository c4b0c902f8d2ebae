"""The general preference model (arXiv 2410.02197): an answer is an embedding, and preferences may be cyclic.

s(y ≻ y' | x) = v(x, y)ᵀ R(x) v(x, y') with R(x) skew-symmetric, and P(y ≻ y' | x) = σ(s / β): K forward passes give
the K² preferences among the answers to a prompt. As published code has it: the dialogue goes through the chat template,
is cut on the right, and its last token becomes the EOS; the value head makes 2k numbers of the last hidden state, which
are scaled to length one. Where the model has a gate, the scales of R's k blocks are its softmax at the last token of
the prompt without generation prompt. A prompt is all that comes before the answer; published code knows one message
alone. Of published code, one part writes two BOS before a dialogue and another none; here there is one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...models.dialogues import Dialogues
from ...storage.records import Message
from ..engines.base import OracleModel
from ..pointwise import Answered, PointwiseOracle
from .head import Head, score

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Embedded(NamedTuple):
    """An answer: its embedding (2k,), and the scales (k,) of its prompt."""

    values: "NDArray[np.float64]"
    scales: "NDArray[np.float64]"


class EmbeddingOracle(PointwiseOracle[Embedded]):
    """Preferences from the embeddings that `head` makes of a model's last hidden states."""

    def __init__(self, model: OracleModel, head: Head, beta: float, dialogues: Dialogues) -> None:
        super().__init__(dialogues, model.longest, "right")
        self._model, self._head, self._beta = model, head, beta

    def answered(self, prompt: str, messages: Sequence[Message], text: str) -> Answered:
        """With the EOS as its last token."""
        found = super().answered(prompt, messages, text)
        eos = self.dialogues.tokenizer.eos_token_id
        return replace(found, ids=[*found.ids[:-1], eos])

    def see(self, answers: Sequence[Answered]) -> list[Embedded]:
        """The embedding of each answer."""
        states, prompts = self.states(self._model, answers)
        return [Embedded(*both) for both in zip(self._head.embeddings(states), self._head.scales(prompts), strict=True)]

    def log_odds(self, first: Embedded, second: Embedded) -> float:
        """The score of two embeddings over β."""
        return score(first.values, second.values, first.scales) / self._beta
