"""The interface of a layout, and the mistakes of an entry."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

from ...storage.records import Message
from ..settings import PromptSource

Entry = Mapping[str, Any]
Messages = list[Message]


class Bad(Exception):
    """An entry that is no prompt; the message says why."""

    reason = "unreadable"
    """By which it is counted."""


class Empty(Bad):
    """An entry without text."""

    reason = "empty"


class Answer(NamedTuple):
    """A response that comes with a prompt."""

    text: str
    score: float | None = None
    """How good it is, where responses are rated one by one."""
    model: str = ""
    """Which model gave it, where that is said."""


class Layout(ABC):
    """How the entries of a set hold prompts and responses."""

    name: ClassVar[str]
    known: ClassVar[tuple[str, ...]] = ()
    """The fields by which it is told from others."""
    gives: Literal["pairs", "responses", "rated", ""] = ""
    """What its answers are: a chosen and a rejected one, responses as good as each other, or rated ones."""

    def __init__(self, columns: Sequence[str], answer_columns: Sequence[str] = ()) -> None:
        """`columns`: fields that the prompt is read from; `answer_columns`: those that responses are read from."""
        self.columns, self.answer_columns = tuple(columns), tuple(answer_columns)

    @classmethod
    @abstractmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """The layout if the entry has it."""

    @abstractmethod
    def messages(self, entry: Entry) -> Messages:
        """The prompt.

        Raises:
            Bad: there is none.
        """

    def answers(self, entry: Entry) -> list[Answer]:
        """The responses that come with it; none by default.

        Raises:
            Bad: they cannot be read.
        """
        return []

    def compared(self, entry: Entry) -> list[Answer]:
        """The responses as somebody compared them; none where nobody did.

        The higher score is better, and equal ones are as good as each other. Those without a score are worse than those
        with one, and were not compared with each other. By default, a rejected response has none.

        Raises:
            Bad: they cannot be read.
        """
        answers = self.answers(entry)
        if self.gives == "rated":
            return answers
        return [answer._replace(score=None if place else 0.0) for place, answer in enumerate(answers)]


def better_first(answers: Sequence[Answer]) -> list[Answer]:
    """Two responses, the one with the higher score first; none where there are none or the scores are equal."""
    if len({answer.score for answer in answers}) < 2:
        return []
    return [Answer(answer.text) for answer in sorted(answers, key=lambda answer: -(answer.score or 0.0))]


def has(entry: Entry, *fields: str) -> bool:
    """Whether the entry has all the fields."""
    return all(field in entry for field in fields)
