"""Entries with a field that holds the prompt, and fields that hold given responses."""

from collections.abc import Sequence
from typing import Self

from ..settings import PromptSource
from .base import Answer, Bad, Entry, Layout, Messages, has
from .values import Reader, answer_of, reader_of, without_last_answer


class Fields(Layout):
    """The fields that `prompts.field` and `prompts.given` name."""

    name = "fields"

    def __init__(self, field: str, given: Sequence[str], read: Reader, cut: bool) -> None:
        """`read`: reads a value of `field`; `cut`: whether an answer at its end is cut."""
        super().__init__((field,), given)
        self._field, self._read, self._cut = field, read, cut
        self.gives = "pairs" if len(given) == 2 else "responses" if given else ""

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where the field is there."""
        if source.field not in entry:
            return None
        return cls(source.field, given, reader_of(entry[source.field]), source.drop_last_answer)

    def messages(self, entry: Entry) -> Messages:
        """The field's value."""
        if not has(entry, self._field):
            raise Bad(f"no field {self._field!r} (here: {', '.join(entry) or 'none'})")
        said = self._read(entry[self._field], self._field)
        return without_last_answer(said) if self._cut else said

    def answers(self, entry: Entry) -> list[Answer]:
        """The values of the named fields."""
        for field in self.answer_columns:
            if field not in entry:
                raise Bad(f"no field {field!r}, which prompts.given names (here: {', '.join(entry)})")
        return [Answer(answer_of(entry[field], field)) for field in self.answer_columns]
