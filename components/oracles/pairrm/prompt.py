"""What PairRM reads of a dialogue and two answers to it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ...core.errors import UserError
from ...models.plain_text import SpecialTokens
from ...storage.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARKS = SOURCE, FIRST, SECOND = "<|source|>", "<|candidate1|>", "<|candidate2|>"
LONGEST_SOURCE, LONGEST = 1224, 2048
"""Tokens of the dialogue, and of all that is read: two answers share what the dialogue leaves."""
_TASK = "Finish the following coversation in each i-th turn by filling in <Response i> with your response."


class Encoded(NamedTuple):
    """Token ids, and whether some were cut off."""

    ids: list[int]
    cut: bool


def source_of(messages: Sequence[Message]) -> str:
    """The dialogue: a question as it is, several turns in the words that the model was trained on.

    Raises:
        UserError: others speak than a user and an assistant in turn.
    """
    asked, replies = messages[::2], messages[1::2]
    turns = [*(("user", each) for each in asked), *(("assistant", each) for each in replies)]
    if len(messages) % 2 == 0 or any(message["role"] != role for role, message in turns):
        raise UserError(
            "PairRM reads what a user and an assistant say in turn, and a prompt has the roles "
            f"{', '.join(message['role'] for message in messages)}: remove the others, or set oracle.kind to another"
        )
    if len(messages) == 1:
        return messages[0]["content"]
    lines = [f"USER: {each['content']}\nAssistant: <Response {turn}>" for turn, each in enumerate(asked, start=1)]
    return _TASK + "\n".join(lines)


def candidate_of(messages: Sequence[Message], answer: str) -> str:
    """An answer; of a dialogue of several turns, with the assistant's replies before it."""
    if len(messages) == 1:
        return answer
    replies = [*(each["content"] for each in messages[1::2]), answer]
    return "\n".join(f"<Response {turn}>: {reply}" for turn, reply in enumerate(replies, start=1))


class Encoder:
    """Puts texts into tokens: each after a mark, between the tokenizer's tokens for beginning and end."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._special = SpecialTokens(tokenizer, {*tokenizer.all_special_tokens, *MARKS})

    def part(self, mark: str, text: str, longest: int) -> Encoded:
        """A text, cut at its end to `longest` tokens; what spells a special token in it stays text."""
        if self._special.spelled_in(text):
            ids = self._special.encode_apart(mark + self._special.hidden(text))
        else:
            ids = self._tokenizer.encode(mark + text, add_special_tokens=False)
        kept = ids[: longest - 2]
        return Encoded([self._tokenizer.cls_token_id, *kept, self._tokenizer.sep_token_id], len(kept) < len(ids))

    def whole(self, messages: Sequence[Message], first: str, second: str) -> Encoded:
        """A dialogue and two answers."""
        source = self.part(SOURCE, source_of(messages), LONGEST_SOURCE)
        room = (LONGEST - len(source.ids)) // 2
        marked = ((FIRST, first), (SECOND, second))
        parts = [source, *(self.part(mark, candidate_of(messages, text), room) for mark, text in marked)]
        return Encoded([token for part in parts for token in part.ids], any(part.cut for part in parts))


def mark_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The tokens of the marks.

    Raises:
        UserError: the tokenizer lacks one, or a token for beginning and end.
    """
    vocabulary = tokenizer.get_vocab()
    if missing := [mark for mark in MARKS if mark not in vocabulary]:
        raise UserError(
            f"the tokenizer in {tokenizer.name_or_path} has no token {missing[0]}, which PairRM reads: put back the "
            "tokenizer that it was trained with"
        )
    return [vocabulary[mark] for mark in MARKS]
