"""Rules that say whether an answer follows an instruction."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from .nltk_data import is_here


@dataclass(frozen=True)
class Check:
    """Whether an answer follows an instruction of one kind."""

    holds: Callable[..., bool]
    """Of an answer, and of the instruction's arguments by keyword."""
    arguments: tuple[str, ...]
    """The names of those."""
    needs: tuple[str, ...] = ()
    """The data of NLTK without which it cannot be made."""

    def follows(self, answer: str, **arguments: object) -> str:
        """How an answer follows it: strict, loose or not.

        Loosely it is followed where it holds of the answer without its first line, its last one or both, or with or
        without asterisks. An answer, or what is left of it, without text follows nothing.
        """
        forms = enumerate(_forms(answer))
        first = next((place for place, form in forms if form.strip() and self.holds(form, **arguments)), None)
        return "not" if first is None else "loose" if first else "strict"

    @property
    def lacking(self) -> str:
        """The data that it needs and that is not here; empty if it can be made."""
        return next((name for name in self.needs if not is_here(name)), "")


def rule(holds: Callable[..., bool], *needs: str) -> Check:
    """The check that a function makes; its parameters after the first are the instruction's arguments."""
    return Check(holds, tuple(inspect.signature(holds).parameters)[1:], needs)


def _forms(answer: str) -> list[str]:
    """The answer, first, and in the forms in which it is checked loosely."""
    lines = answer.split("\n")
    parts = (lines[1:], lines[:-1], lines[1:-1])
    forms = [answer, *("\n".join(part).strip() for part in parts)]
    return [*forms, *(form.replace("*", "") for form in forms)]
