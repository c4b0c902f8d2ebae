"""Pairs of whole dialogues, whose common beginning is the prompt."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Self

from ..settings import PromptSource
from .base import Answer, Bad, Empty, Entry, Layout, Messages, better_first, has
from .values import is_dialogue, reader_of


def common(first: Messages, second: Messages) -> Messages:
    """The beginning that two dialogues share, up to the user's last message in it.

    Raises:
        Bad: they share none.
    """
    same = [one for one, _ in takewhile(lambda both: both[0] == both[1], zip(first, second, strict=False))]
    while same and same[-1]["role"] in ("assistant", "system"):
        same.pop()
    if not same:
        raise Bad("the two dialogues do not begin with the same message of the user's")
    return same


def answers_after(prompt: Messages, *dialogues: Messages) -> list[str] | None:
    """The answer that each dialogue ends with, right after the prompt; None where one goes on otherwise."""
    rest = [dialogue[len(prompt) :] for dialogue in dialogues]
    if any(len(said) != 1 or said[0]["role"] != "assistant" for said in rest):
        return None
    return [said[0]["content"] for said in rest]


class Pairs(Layout):
    """A chosen and a rejected dialogue, as messages or as transcripts: UltraFeedback, the preferences of Skywork and
    Tulu 3, HH-RLHF."""

    name = "pairs"
    known = ("chosen", "rejected")
    gives = "pairs"

    def __init__(self, names: Sequence[str], entry: Entry) -> None:
        """The fields' names, and the first entry."""
        super().__init__(names)
        self._reader = reader_of(entry[names[0]])

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where both fields are dialogues that begin alike."""
        names = tuple(given) if len(given) == 2 else cls.known
        if len(given) == 1 and given[0] != names[0]:
            return None
        if not has(entry, *names) or not all(is_dialogue(entry[name]) for name in names):
            return None
        found = cls(names, entry)
        named_otherwise = source.field in entry and source.field not in ("prompt", *names)
        try:
            return None if named_otherwise or not found.messages(entry) else found
        except Bad:
            return found if source.field not in entry else None

    def _both(self, entry: Entry) -> list[Messages]:
        for field in self.columns:
            if field not in entry:
                raise Bad(f"no field {field!r} (here: {', '.join(entry)})")
        return [self._reader(entry[field], field) for field in self.columns]

    def messages(self, entry: Entry) -> Messages:
        """What both begin with."""
        return common(*self._both(entry))

    def answers(self, entry: Entry) -> list[Answer]:
        """The two last messages; none where the dialogues part earlier."""
        both = self._both(entry)
        said = answers_after(common(*both), *both) or []
        if not all(text.strip() for text in said):
            raise Empty("an answer is empty")
        return [Answer(text) for text in said]


class Arena(Layout):
    """Dialogues with two models and a vote: Chatbot Arena and its successors, MT-Bench's human judgments."""

    name = "arena"
    known = ("conversation_a", "conversation_b")
    gives = "pairs"

    def __init__(self, entry: Entry) -> None:
        """The first entry."""
        super().__init__((*self.known, "turn"), ("winner", "model_a", "model_b"))
        self._reader = reader_of(entry[self.known[0]])

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where both dialogues are there and nothing else is named."""
        return cls(entry) if has(entry, *cls.known) and source.field not in entry and not given else None

    def _both(self, entry: Entry) -> list[Messages]:
        """The dialogues up to the turn that the vote is on; what goes on after it is left out."""
        both = [self._reader(entry.get(field), field) for field in self.known]
        turn = entry.get("turn")
        return [up_to(turn, dialogue) for dialogue in both] if isinstance(turn, int) else both

    def messages(self, entry: Entry) -> Messages:
        """What both begin with."""
        return common(*self._both(entry))

    def answers(self, entry: Entry) -> list[Answer]:
        """The winner's answer and the other one; none for a tie, or where the dialogues go on after it."""
        return better_first(self.compared(entry))

    def compared(self, entry: Entry) -> list[Answer]:
        """Both answers and their models; none without a vote, or where the dialogues part before the last answer."""
        both, scores = self._both(entry), _VOTES.get(str(entry.get("winner")))
        said = answers_after(common(*both), *both)
        if not said or scores is None or not all(text.strip() for text in said):
            return []
        models = (str(entry.get(field) or "") for field in ("model_a", "model_b"))
        return [Answer(*each) for each in zip(said, scores, models, strict=True)]


def up_to(turn: int, dialogue: Messages) -> Messages:
    """A dialogue before the user's message after a turn, the first of which is 1."""
    asked = [place for place, message in enumerate(dialogue) if message["role"] == "user"]
    return dialogue[: asked[turn]] if 0 < turn < len(asked) else dialogue


_VOTES = {
    "model_a": (1.0, 0.0),
    "model_b": (0.0, 1.0),
    "tie": (0.0, 0.0),
    "tie (bothbad)": (0.0, 0.0),
    "both_bad": (0.0, 0.0),
}
"""The scores of both answers."""
