"""A judge that is asked in other words than its template's, such as a benchmark's own: its answers as they are."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from ...core.digests import digest_json
from ...storage.records import Message
from .calls import Calls, Noted
from .client import Answer


class Completion(NamedTuple):
    """What a judge has written."""

    outcome: Literal["answer", "refused", "too_long"]
    text: str
    """Empty if there is no answer."""
    top: Sequence[tuple[str, float]]
    """The likeliest tokens at the first place with their log-probabilities, if the request asks for them and the server
    gives them."""
    finish: str
    """stop, or length where the text was cut."""


class Completions:
    """Asks a judge, many calls at a time, what its cache does not know."""

    def __init__(self, opened: Callable[[Callable[[Answer], Noted]], Calls]) -> None:
        """`opened` gives the calls, by what is kept of an answer; their cache keeps outputs."""
        self._calls = opened(_noted)

    @property
    def usage(self) -> Mapping[str, float]:
        """Answered calls, answers that were paid for before, tokens and cost."""
        return {**self._calls.counts, **self._calls.amounts}

    def begin(self, part: str) -> None:
        """Count what earlier attempts at a part of a unit of work have paid for as used."""
        self._calls.begin(part)

    def ask(self, asked: Sequence[Sequence[Message]]) -> list[Completion]:
        """One answer for each of some dialogues; equal dialogues are asked about once.

        Raises:
            UserError: the budget is spent, or the server refuses the requests.
            TryAgain: the server does not answer.
        """
        keys = [digest_json(list(messages)) for messages in asked]
        self._calls.ask(dict(zip(keys, asked, strict=True)))
        return [self._completion(key) for key in keys]

    def _completion(self, key: str) -> Completion:
        kept = json.loads(self._calls.cache.output(key))
        return Completion(
            kept["outcome"], kept["text"], [(token, value) for token, value in kept["top"]], kept["finish"]
        )


def _noted(answer: Answer) -> Noted:
    outcome = "too_long" if answer.too_long else "refused" if answer.refused else "answer"
    kept = {"outcome": outcome, "text": answer.text, "top": list(answer.top), "finish": answer.finish}
    return Noted(outcome, 0.5, json.dumps(kept))
