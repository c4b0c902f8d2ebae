"""Benchmarks of judges: JudgeBench, RewardBench 2."""

from collections.abc import Sequence
from typing import Self

from ..settings import PromptSource
from .base import Answer, Bad, Entry, Layout, Messages, better_first, has
from .values import answer_of, messages_of

_LABELS = {"A>B": (1.0, 0.0), "B>A": (0.0, 1.0), "A=B": (0.0, 0.0)}


class JudgeBench(Layout):
    """A question, two responses and which one is right."""

    name = "judgebench"
    known = ("question", "response_A", "response_B", "label")
    gives = "pairs"

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where all of them are there and nothing else is named."""
        there = has(entry, *cls.known) and source.field not in entry and not given
        return cls(cls.known[:1], cls.known[1:]) if there else None

    def messages(self, entry: Entry) -> Messages:
        """The question."""
        return messages_of(entry.get("question"), "question")

    def answers(self, entry: Entry) -> list[Answer]:
        """The right one and the other; none where both are as good."""
        return better_first(self.compared(entry))

    def compared(self, entry: Entry) -> list[Answer]:
        """Both, with scores."""
        if (label := entry.get("label")) not in _LABELS:
            raise Bad(f"'label' is none of {', '.join(_LABELS)}")
        names = ("response_A", "response_B")
        return [
            Answer(answer_of(entry.get(name), name), score) for name, score in zip(names, _LABELS[label], strict=True)
        ]


class RewardBench2(Layout):
    """A prompt with lists of right and of wrong answers."""

    name = "rewardbench2"
    known = ("prompt", "chosen", "rejected")
    gives = "rated"

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where both are lists of texts and nothing else is named."""
        there = has(entry, *cls.known) and source.field == "prompt" and not given
        listed = there and all(_is_list(entry[name]) for name in cls.known[1:])
        return cls(cls.known[:1], cls.known[1:]) if listed else None

    def messages(self, entry: Entry) -> Messages:
        """The prompt."""
        return messages_of(entry.get("prompt"), "prompt")

    def answers(self, entry: Entry) -> list[Answer]:
        """All answers."""
        if not all(_is_list(entry.get(name)) for name in self.answer_columns):
            raise Bad("'chosen' and 'rejected' are no lists of answers")
        return [
            Answer(answer_of(text, name), score)
            for name, score in zip(self.answer_columns, (1.0, 0.0), strict=True)
            for text in entry[name]
        ]

    def compared(self, entry: Entry) -> list[Answer]:
        """All answers: the right ones are as good as each other, of the wrong ones nobody said which is better."""
        return [answer if answer.score else answer._replace(score=None) for answer in self.answers(entry)]


def _is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)
