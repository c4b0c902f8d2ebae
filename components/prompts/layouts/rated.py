"""Sets whose responses were rated: HelpSteer 2 and 3, Nectar."""

import re
from collections.abc import Sequence
from typing import Any, Self

from ..settings import PromptSource
from .base import Answer, Bad, Entry, Layout, Messages, better_first, has
from .values import answer_of, messages_of, text_of, transcript_of

_EXTRA = re.compile(r"\s*<extra_id_[01]>(System|User|Assistant)\n")


def _turns(value: Any, field: str) -> Messages:
    """A HelpSteer 2 prompt: the user's text; earlier turns are set apart by `<extra_id_1>User` and the like."""
    first, *rest = _EXTRA.split(text_of(value, field))
    said: Messages = [{"role": "user", "content": first}] if first.strip() or not rest else []
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return [*said, *({"role": role.lower(), "content": content} for role, content in pairs)]  # type: ignore[list-item]


def _by_preference(entry: Entry, first: str, second: str, field: str) -> list[Answer]:
    """The two responses with scores. A negative preference is for the first."""
    preference = entry.get(field)
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        raise Bad(f"{field!r} is no number")
    scores = {first: -float(preference), second: 0.0}
    return [Answer(answer_of(entry.get(name), name), score) for name, score in scores.items()]


class HelpSteer2(Layout):
    """Responses with marks; those of one prompt stand in several entries."""

    name = "helpsteer2"
    known = ("prompt", "response", "helpfulness")
    gives = "rated"

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where a response has a mark for helpfulness."""
        there = has(entry, *cls.known) and source.field == "prompt" and not given
        return cls(("prompt",), ("response", "helpfulness")) if there else None

    def messages(self, entry: Entry) -> Messages:
        """The prompt's turns."""
        return _turns(entry.get("prompt"), "prompt")

    def answers(self, entry: Entry) -> list[Answer]:
        """The response with its helpfulness."""
        mark = entry.get("helpfulness")
        if isinstance(mark, str):  # as CSV has it
            mark = float(mark) if mark.strip().lstrip("-").replace(".", "", 1).isdigit() else None
        if mark is None:
            raise Bad("'helpfulness' is no number")
        return [Answer(answer_of(entry.get("response"), "response"), float(mark))]


class _Preferred(Layout):
    """Interface of a prompt, two responses, and how much the second is preferred: `known`, in this order."""

    gives = "pairs"

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where all of them are there."""
        return cls(cls.known[:1], cls.known[1:]) if has(entry, *cls.known) and not given else None

    def answers(self, entry: Entry) -> list[Answer]:
        """The better one and the other; none where neither is."""
        return better_first(self.compared(entry))

    def compared(self, entry: Entry) -> list[Answer]:
        """Both, with scores."""
        return _by_preference(entry, *self.answer_columns)


class HelpSteer2Preference(_Preferred):
    """Two responses and how much the second is preferred."""

    name = "helpsteer2_preference"
    known = ("prompt", "response_1", "response_2", "preference_strength")

    def messages(self, entry: Entry) -> Messages:
        """The prompt's turns."""
        return _turns(entry.get("prompt"), "prompt")


class HelpSteer3(_Preferred):
    """A dialogue, two responses and how much the second is preferred."""

    name = "helpsteer3"
    known = ("context", "response1", "response2", "overall_preference")

    def messages(self, entry: Entry) -> Messages:
        """The dialogue."""
        return messages_of(entry.get("context"), "context")


class Nectar(Layout):
    """A transcript and seven ranked responses."""

    name = "nectar"
    known = ("prompt", "answers")
    gives = "rated"

    @classmethod
    def find(cls, entry: Entry, source: PromptSource, given: Sequence[str]) -> Self | None:
        """Where the responses have ranks."""
        answers = entry.get("answers")
        ranked = isinstance(answers, list) and answers and isinstance(answers[0], dict) and has(answers[0], "rank")
        return cls(("prompt",), ("answers",)) if ranked and has(entry, "prompt") and not given else None

    def messages(self, entry: Entry) -> Messages:
        """The transcript."""
        return transcript_of(entry.get("prompt"), "prompt")

    def answers(self, entry: Entry) -> list[Answer]:
        """All responses; rank 1 is the best."""
        ranked = entry.get("answers")
        if not isinstance(ranked, list) or not all(isinstance(each, dict) and each.get("rank") for each in ranked):
            raise Bad("'answers' is no list of responses with ranks")
        return [
            Answer(answer_of(each.get("answer"), "answers"), -float(each["rank"]), str(each.get("model") or ""))
            for each in ranked
        ]
