"""The oracle that is a language model behind an OpenAI-compatible server.

It is asked about every pair in both orders, so that a leaning to a position averages out. A pair has a verdict where
both answers have one; from all others the oracle abstains.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ...core.digests import digest_json
from ...storage.records import Message
from ..base import ABSTENTION, Oracle, Query, Verdict
from .calls import Calls, Noted
from .client import Answer
from .orders import gives_orders
from .template import Template

_FAULTS = ("unparsed", "refused", "too_long")
"""The outcomes of answers without a verdict."""


class LLMJudgeOracle(Oracle):
    """Asks a server, many calls at a time, what its cache does not know."""

    def __init__(self, opened: Callable[[Callable[[Answer], Noted]], Calls], template: Template) -> None:
        """`opened` gives the calls, by what is kept of an answer."""
        self._calls, self._template = opened(partial(_noted, template)), template
        self._counts = Counter(dict.fromkeys(("imitations", "orders", *_FAULTS), 0))

    @property
    def usage(self) -> Mapping[str, float]:
        """Answered calls, their tokens and cost, answers that were paid for before, those without a verdict by reason,
        and pairs with a response that imitates the template, or that gives orders."""
        return {**self._calls.counts, **self._counts, **self._calls.amounts}

    def begin(self, part: str) -> None:
        """Count what earlier attempts at a part of a unit of work have paid for as used."""
        self._calls.begin(part)

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """Ask about every pair in both orders.

        Raises:
            UserError: the budget is spent, or the server refuses the requests.
            TryAgain: the server does not answer.
        """
        orders = [self._orders(query) for query in queries]
        keys = [[digest_json(messages) for messages in order] for order in orders]
        shown = {key: messages for both in zip(keys, orders, strict=True) for key, messages in zip(*both, strict=True)}
        self._calls.ask(shown)
        for name, seen_in in (("imitations", self._template.imitated_in), ("orders", gives_orders)):
            self._counts[name] += sum(seen_in(query.first) or seen_in(query.second) for query in queries)
        self._counts.update(outcome for key in shown if (outcome := self._found(key)[0]) in _FAULTS)
        return [self._verdict(forward, swapped) for forward, swapped in keys]

    def finds_too_long(self, query: Query, *, anew: bool) -> bool:
        """Whether the messages about a pair do not fit the model; `anew`: it is asked, whatever it has answered before.

        Raises:
            UserError, TryAgain: as `judge`; the budget does not count where it is asked anew.
        """
        shown = {digest_json(messages): messages for messages in self._orders(query)}
        if anew:
            never = threading.Event()
            return any(self._calls.ask_anew(*each, never).too_long for each in shown.items())
        self._calls.ask(shown)
        return any(self._found(key)[0] == "too_long" for key in shown)

    def _orders(self, query: Query) -> list[list[Message]]:
        """The messages about a pair in both orders."""
        return [
            self._template.rendered(asked.messages, asked.first, asked.second) for asked in (query, query.swapped())
        ]

    def _verdict(self, forward: str, swapped: str) -> Verdict:
        (seen, first), (seen_swapped, second) = self._found(forward), self._found(swapped)
        return Verdict.of(first, 1 - second) if seen == seen_swapped == "verdict" else ABSTENTION

    def _found(self, key: str) -> tuple[str, float]:
        found = self._calls.cache.find(key)
        assert found, "it has been asked for"
        return found


def _noted(template: Template, answer: Answer) -> Noted:
    return Noted(*_read(template, answer), json.dumps(answer.top) if answer.top else answer.text)


def _read(template: Template, answer: Answer) -> tuple[str, float]:
    if answer.too_long or answer.refused:
        return ("too_long" if answer.too_long else "refused"), 0.5
    probability = template.verdict.read(answer)
    return ("unparsed", 0.5) if probability is None else ("verdict", probability)
