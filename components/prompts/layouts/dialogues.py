"""Whole dialogues in one field."""

from collections.abc import Sequence
from typing import Self

from ..settings import PromptSource
from .base import Answer, Entry, Layout, Messages
from .values import Reader, is_dialogue, reader_of, without_last_answer


class Dialogue(Layout):
    """RLHFlow's `context_messages`, WildChat's and LMSYS's `conversation`, ShareGPT's `conversations`, `messages`.

    An answer that a dialogue ends with is no part of the prompt, but may be a given response.
    """

    name = "dialogue"
    known = ("context_messages", "conversation", "conversations", "messages")
    gives = "responses"

    def __init__(self, field: str, read: Reader) -> None:
        """`read`: reads a value of `field`."""
        super().__init__((field,))
        self._field, self._read = field, read

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where one of the fields is a dialogue and nothing else is named."""
        field = next((field for field in cls.known if field in entry), None)
        if field is None or given or not is_dialogue(entry[field]):
            return None
        if source.field != "prompt" and not (source.layout and source.field == field):
            return None
        return cls(field, reader_of(entry[field]))

    def messages(self, entry: Entry) -> Messages:
        """The dialogue without the answer at its end."""
        return without_last_answer(self._read(entry.get(self._field), self._field))

    def answers(self, entry: Entry) -> list[Answer]:
        """The answer at its end."""
        said = self._read(entry.get(self._field), self._field)
        return [Answer(message["content"]) for message in said[len(without_last_answer(said)) :]]
