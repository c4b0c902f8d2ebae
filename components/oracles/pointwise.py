"""Oracles whose model reads each response by itself, and compares what it has seen in two of them.

Dialogue and answer go through the model's chat template, a BOS stands at their beginning once at most, and they are cut
where they are longer than the model's context. The oracle abstains where two answers are one after that.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ..core.digests import canonical_json
from ..models.dialogues import Dialogues
from ..storage.records import Message
from .base import ABSTENTION, Oracle, Query, Verdict, sigmoid
from .engines.base import OracleModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    States = NDArray[np.float64]

Seen = TypeVar("Seen")
"""What a model sees in an answer: a reward, an embedding."""
_Key = tuple[str, str]


@dataclass(frozen=True)
class Answered:
    """An answer to a prompt, as a model reads it."""

    prompt: str
    """Names the prompt."""
    messages: Sequence[Message]
    """The prompt."""
    ids: Sequence[int]
    """Token ids of the prompt and the answer."""
    cut: bool
    """Whether some of them were cut off."""


class PointwiseOracle(Oracle, Generic[Seen]):
    """Preferences between answers that `dialogues` renders and that are cut to `longest` tokens.

    Each answer to a prompt is read once, for as long as the prompt is asked about.
    """

    def __init__(self, dialogues: Dialogues, longest: int, cut: str = "") -> None:
        """`cut` is the side on which long dialogues are cut; empty: that of the tokenizer."""
        self.dialogues, self._longest = dialogues, longest
        self._side = cut or dialogues.tokenizer.truncation_side
        self._seen: dict[_Key, Seen] = {}

    @abstractmethod
    def see(self, answers: Sequence[Answered]) -> Sequence[Seen]:
        """What the model sees in each of some answers.

        Raises:
            UserError: it is not finite.
        """

    @abstractmethod
    def log_odds(self, first: Seen, second: Seen) -> float:
        """log P(first ≻ second) − log P(second ≻ first)."""

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """σ of the log-odds of what is seen in two answers.

        Raises:
            UserError: it is not finite, or the chat template refuses a dialogue.
        """
        keys = [canonical_json(list(query.messages)) for query in queries]
        pairs = [((key, query.first), (key, query.second)) for key, query in zip(keys, queries, strict=True)]
        read = {
            (key, text): self.answered(key, query.messages, text)
            for key, query in zip(keys, queries, strict=True)
            for text in (query.first, query.second)
        }
        # Where the context ends before two answers differ, what is seen in them is one and says nothing.
        apart = [pair for pair in pairs if read[pair[0]].ids != read[pair[1]].ids]
        prompts = set(keys)
        self._seen = {answer: seen for answer, seen in self._seen.items() if answer[0] in prompts}
        if new := [answer for answer in dict.fromkeys(sum(apart, ())) if answer not in self._seen]:
            self._seen.update(zip(new, self.see([read[answer] for answer in new]), strict=True))
        told = set(apart)
        return [self._verdict(pair, read) if pair in told else ABSTENTION for pair in pairs]

    def answered(self, prompt: str, messages: Sequence[Message], text: str) -> Answered:
        """An answer as the model reads it.

        Raises:
            UserError: the chat template refuses the dialogue.
        """
        ids = self.dialogues.whole([*messages, Message(role="assistant", content=text)])
        return Answered(prompt, messages, self._cut(ids), self._long(ids))

    def _cut(self, ids: list[int]) -> list[int]:
        """The token ids, cut to as many as the model reads; a BOS at the start stays."""
        if not self._long(ids):
            return ids
        if self._side == "right":
            return ids[: self._longest]
        start = ids[:1] if ids[0] == self.dialogues.tokenizer.bos_token_id else []
        return start + ids[len(ids) - self._longest + len(start) :]

    def states(self, model: OracleModel, answers: Sequence[Answered]) -> "tuple[States, States]":
        """The hidden states at the ends of answers, and at the ends of their prompts, both (answers, hidden)."""
        prompts = {answer.prompt: answer.messages for answer in answers}
        # The end of a prompt is read with its answers, of which it is the beginning.
        ends = [self._cut(self.dialogues.whole(messages)) for messages in prompts.values()]
        names = [*(answer.prompt for answer in answers), *prompts]
        read = model.read([*(answer.ids for answer in answers), *ends], names)
        where = {prompt: len(answers) + index for index, prompt in enumerate(prompts)}
        return read[: len(answers)], read[[where[answer.prompt] for answer in answers]]

    def _long(self, ids: Sequence[int]) -> bool:
        return len(ids) > self._longest

    def _verdict(self, pair: tuple[_Key, _Key], read: dict[_Key, Answered]) -> Verdict:
        first, second = pair
        score = self.log_odds(self._seen[first], self._seen[second])
        probability = sigmoid(score)
        return Verdict.of(probability, probability, truncated=read[first].cut or read[second].cut, score=score)
