"""The oracle that is a language model behind an OpenAI-compatible server.

It is asked about every pair in both orders, so that a leaning to a position averages out. A pair has a verdict where
both answers have one; from all others the oracle abstains.
"""

import contextlib
import json
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from multiprocessing.pool import IMapIterator, ThreadPool
from typing import Any

from ...core.digests import digest_json
from ...core.errors import UserError
from ...runtime.progress import over
from ...storage.records import CachedVerdict, Message
from ..base import ABSTENTION, Oracle, Query, Verdict
from .budget import Budget, Prices, Spent
from .cache import VerdictCache
from .client import Answer, Client
from .orders import gives_orders
from .template import Template

_FAULTS = ("unparsed", "refused", "too_long")
"""The outcomes of answers without a verdict."""
_LAST_SECONDS = 10.0
"""How long calls under way may take when the step is told to end."""


class LLMJudgeOracle(Oracle):
    """Asks a server, many calls at a time, what its cache does not know."""

    def __init__(
        self,
        client: Client,
        request: Mapping[str, Any],
        template: Template,
        cache: VerdictCache,
        prices: Prices,
        budget: Budget,
        concurrency: int,
    ) -> None:
        self._client, self._request, self._template, self._cache = client, request, template, cache
        self._prices, self._budget, self._concurrency = prices, budget, concurrency
        self._metered = prices != Prices() or budget != Budget()
        self._spent = Spent()
        self._counts = Counter(dict.fromkeys(("calls", "cached", "imitations", "orders", *_FAULTS), 0))
        self._part = ""
        self._earlier = set[str]()
        """What earlier attempts at the part have paid for, as far as it has not been asked again."""

    @property
    def usage(self) -> Mapping[str, float]:
        """Answered calls, their tokens and cost, answers that were paid for before, those without a verdict by reason,
        and pairs with a response that imitates the template, or that gives orders."""
        tokens = {"input_tokens": self._spent.input, "output_tokens": self._spent.output}
        return {**self._counts, **tokens, "cost": self._spent.cost(self._prices)}

    def begin(self, part: str) -> None:
        """Count what earlier attempts at a part of a unit of work have paid for as used."""
        paid = self._cache.paid(part)
        self._part, self._earlier = part, set(paid.keys)
        self._counts["calls"] += paid.calls
        self._spent += paid.spent

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """Ask about every pair in both orders.

        Raises:
            UserError: the budget is spent, or the server refuses the requests.
            TryAgain: the server does not answer.
        """
        orders = [
            [self._template.rendered(asked.messages, asked.first, asked.second) for asked in (query, query.swapped())]
            for query in queries
        ]
        keys = [[digest_json(messages) for messages in order] for order in orders]
        shown = {key: messages for both in zip(keys, orders, strict=True) for key, messages in zip(*both, strict=True)}
        missing = {key: messages for key, messages in shown.items() if self._cache.find(key) is None}
        self._counts["cached"] += len(shown.keys() - missing.keys() - self._earlier)
        self._earlier -= shown.keys()
        if missing:
            self._ask(missing)
        for name, seen_in in (("imitations", self._template.imitated_in), ("orders", gives_orders)):
            self._counts[name] += sum(seen_in(query.first) or seen_in(query.second) for query in queries)
        self._counts.update(outcome for key in shown if (outcome := self._found(key)[0]) in _FAULTS)
        return [self._verdict(forward, swapped) for forward, swapped in keys]

    def _verdict(self, forward: str, swapped: str) -> Verdict:
        (seen, first), (seen_swapped, second) = self._found(forward), self._found(swapped)
        return Verdict.of(first, 1 - second) if seen == seen_swapped == "verdict" else ABSTENTION

    def _found(self, key: str) -> tuple[str, float]:
        found = self._cache.find(key)
        assert found, "it has been asked for"
        return found

    def _ask(self, missing: Mapping[str, Sequence[Message]]) -> None:
        """Ask for what is missing; when a call fails for good, those under way end, and no further one begins."""
        failures: list[Exception] = []
        stopped = threading.Event()

        def call(asked: tuple[str, Sequence[Message]]) -> Answer | None:
            try:
                return None if stopped.is_set() else self._answer(*asked, stopped)
            except Exception as error:  # raised below, when the calls under way have ended
                failures.append(error)
                stopped.set()
                return None

        with ThreadPool(min(self._concurrency, len(missing))) as pool:
            answers = pool.imap_unordered(call, missing.items())
            try:
                for (answer,) in over(([answer] for answer in answers), "calls", len(missing)):
                    if answer:
                        self._counts["calls"] += 1
                        self._spent += Spent(answer.input_tokens, answer.output_tokens)
            finally:
                stopped.set()
                _wait_for(answers)
                self._cache.flush()
        if failures:
            raise failures[0]

    def _answer(self, key: str, messages: Sequence[Message], stopped: threading.Event) -> Answer:
        """Ask for one answer, and keep it."""
        self._budget.require(self._cache.spent, self._prices)
        answer = self._client.ask({**self._request, "messages": messages}, stopped)
        self._require_usage(answer)
        self._note(key, answer)
        return answer

    def _note(self, key: str, answer: Answer) -> None:
        outcome, probability = self._read(answer)
        output = json.dumps(answer.top) if answer.top else answer.text
        self._cache.add(
            CachedVerdict(
                key=key,
                outcome=outcome,
                probability=probability,
                input_tokens=answer.input_tokens,
                output_tokens=answer.output_tokens,
                part=self._part,
                output=output,
            )
        )

    def _read(self, answer: Answer) -> tuple[str, float]:
        if answer.too_long or answer.refused:
            return ("too_long" if answer.too_long else "refused"), 0.5
        probability = self._template.verdict.read(answer)
        return ("unparsed", 0.5) if probability is None else ("verdict", probability)

    def _require_usage(self, answer: Answer) -> None:
        if self._metered and not answer.input_tokens and not answer.too_long and not answer.refused:
            raise UserError(
                "the server of oracle.endpoint.url does not say how many tokens it reads and writes: leave out "
                "oracle.endpoint.prices and oracle.endpoint.budget"
            )


def _wait_for(answers: "IMapIterator[Answer | None]") -> None:
    """Give calls under way some time to end: their answers are paid for."""
    end = time.monotonic() + _LAST_SECONDS
    with contextlib.suppress(StopIteration, multiprocessing.TimeoutError):
        while True:
            answers.next(max(0.0, end - time.monotonic()))
