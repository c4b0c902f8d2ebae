"""Oracles that score each response by itself: P(y ≻ y' | x) = σ(r(x, y) − r(x, y')), with r a model's reward.

Dialogue and answer go through the model's chat template, a BOS stands at their beginning once at most, and they are cut
at the tokenizer's truncation side where they are longer than the model's context. The oracle abstains where the two
answers are one after that.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.digests import canonical_json
from ..models.dialogues import Dialogues
from ..storage.records import Message
from .base import ABSTENTION, Oracle, Query, Verdict, sigmoid


@dataclass(frozen=True)
class Answered:
    """An answer to a prompt as a model reads it."""

    messages: Sequence[Message]
    """The prompt."""
    ids: Sequence[int]
    """Token ids of the prompt and the answer."""
    cut: bool
    """Whether some of them were cut off."""


class BradleyTerryOracle(Oracle):
    """Preferences from rewards of answers that `dialogues` renders and that are cut to `longest` tokens."""

    def __init__(self, dialogues: Dialogues, longest: int) -> None:
        self._dialogues, self._longest = dialogues, longest

    @abstractmethod
    def rewards(self, answers: Sequence[Answered]) -> list[float]:
        """The reward of each of some answers.

        Raises:
            UserError: a reward is not finite.
        """

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """σ of the difference of two rewards; each answer to a prompt is scored once.

        Raises:
            UserError: a reward is not finite, or the chat template refuses a dialogue.
        """
        keys = [canonical_json(list(query.messages)) for query in queries]
        pairs = [((key, query.first), (key, query.second)) for key, query in zip(keys, queries, strict=True)]
        read = {
            (key, text): self._answered(query.messages, text)
            for key, query in zip(keys, queries, strict=True)
            for text in (query.first, query.second)
        }
        # Where the context ends before two answers differ, their rewards are one and say nothing.
        apart = [pair for pair in pairs if read[pair[0]].ids != read[pair[1]].ids]
        scored = list(dict.fromkeys(answer for pair in apart for answer in pair))
        rewards = dict(zip(scored, self.rewards([read[answer] for answer in scored]), strict=True)) if scored else {}
        return [
            _verdict(rewards[first] - rewards[second], read[first].cut or read[second].cut)
            if read[first].ids != read[second].ids
            else ABSTENTION
            for first, second in pairs
        ]

    def _answered(self, messages: Sequence[Message], text: str) -> Answered:
        ids = self._dialogues.whole([*messages, Message(role="assistant", content=text)])
        return Answered(messages, self.cut(ids), len(ids) > self._longest)

    def cut(self, ids: list[int]) -> list[int]:
        """The token ids, at most as many as the model reads; a BOS at the start stays."""
        surplus, tokenizer = len(ids) - self._longest, self._dialogues.tokenizer
        if surplus <= 0:
            return ids
        if tokenizer.truncation_side == "right":
            return ids[:-surplus]
        start = ids[:1] if ids[0] == tokenizer.bos_token_id else []
        return start + ids[surplus + len(start) :]


def _verdict(difference: float, truncated: bool) -> Verdict:
    probability = sigmoid(difference)
    return Verdict.of(probability, probability, truncated=truncated)
