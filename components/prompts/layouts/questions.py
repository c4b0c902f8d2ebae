"""The questions of benchmarks."""

from collections.abc import Sequence
from typing import Self

from ..settings import PromptSource
from .base import Answer, Bad, Entry, Layout, Messages, has
from .values import answer_of, messages_of, text_of


class Turns(Layout):
    """MT-Bench and Arena-Hard: the first of the user's turns, which is the only one that needs no answer before it."""

    name = "turns"
    known = ("turns",)

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where there is a list of turns and nothing else is named."""
        there = isinstance(entry.get("turns"), list) and source.field not in entry and not given
        return cls(("turns",)) if there else None

    def messages(self, entry: Entry) -> Messages:
        """The first turn."""
        turns = entry.get("turns")
        if not isinstance(turns, list) or not turns:
            raise Bad("'turns' is no list of the user's turns")
        first = turns[0].get("content") if isinstance(turns[0], dict) else turns[0]
        return [{"role": "user", "content": text_of(first, "turns")}]


class Instruction(Layout):
    """AlpacaEval: an instruction, and a model's output."""

    name = "instruction"
    known = ("instruction",)
    gives = "responses"

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where there is an instruction and nothing else is named."""
        there = has(entry, "instruction") and source.field not in entry and not given
        return cls(("instruction", "input"), ("output",)) if there else None

    def messages(self, entry: Entry) -> Messages:
        """The instruction; an input of Alpaca's stands below it."""
        said = messages_of(entry.get("instruction"), "instruction")
        if further := entry.get("input"):
            said[-1]["content"] += f"\n\n{text_of(further, 'input')}"
        return said

    def answers(self, entry: Entry) -> list[Answer]:
        """The output."""
        return [Answer(answer_of(entry.get("output"), "output"))]
