"""Calls of a judge, many at a time. Its answers are kept, so that it is asked nothing twice, and are counted."""

import contextlib
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.pool import IMapIterator, ThreadPool
from typing import Any, NamedTuple

from ...core.errors import UserError
from ...runtime.progress import over
from ...storage.records import CachedVerdict, Message
from .budget import Budget, Prices, Spent
from .cache import VerdictCache
from .client import Answer, Client

_LAST_SECONDS = 10.0
"""How long calls under way may take when the step is told to end."""


class Noted(NamedTuple):
    """What is kept of an answer: as in `CachedVerdict`."""

    outcome: str
    probability: float
    output: str


class Calls:
    """Asks a server what its cache does not know."""

    def __init__(
        self,
        client: Client,
        request: Mapping[str, Any],
        note: Callable[[Answer], Noted],
        cache: VerdictCache,
        prices: Prices,
        budget: Budget,
        concurrency: int,
    ) -> None:
        """`request` has the fields of every call but the messages; `note` says what is kept of an answer."""
        self.cache = cache
        self._client, self._request, self._note = client, request, note
        self._prices, self._budget, self._concurrency = prices, budget, concurrency
        self._metered = prices != Prices() or budget != Budget()
        self._spent = Spent()
        self._part = ""
        self._earlier = set[str]()
        """What earlier attempts at the part have paid for, as far as it has not been asked again."""
        self.counts = Counter({"calls": 0, "cached": 0})
        """Answered calls, and answers that were paid for before."""

    @property
    def amounts(self) -> Mapping[str, float]:
        """Tokens, and their cost."""
        tokens = {"input_tokens": self._spent.input, "output_tokens": self._spent.output}
        return {**tokens, "cost": self._spent.cost(self._prices)}

    def begin(self, part: str) -> None:
        """Count what earlier attempts at a part of a unit of work have paid for as used."""
        paid = self.cache.paid(part)
        self._part, self._earlier = part, set(paid.keys)
        self.counts["calls"] += paid.calls
        self._spent += paid.spent

    def ask(self, shown: Mapping[str, Sequence[Message]]) -> None:
        """Ask about messages, by their keys in the cache, unless it has the answers.

        When a call fails for good, those under way end, and no further one begins.

        Raises:
            UserError: the budget is spent, or the server refuses the requests.
            TryAgain: the server does not answer.
        """
        missing = {key: messages for key, messages in shown.items() if self.cache.find(key) is None}
        self.counts["cached"] += len(shown.keys() - missing.keys() - self._earlier)
        self._earlier -= shown.keys()
        if not missing:
            return
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
                        self.counts["calls"] += 1
                        self._spent += Spent(answer.input_tokens, answer.output_tokens)
            finally:
                stopped.set()
                _wait_for(answers)
                self.cache.flush()
        if failures:
            raise failures[0]

    def _answer(self, key: str, messages: Sequence[Message], stopped: threading.Event) -> Answer:
        self._budget.require(self.cache.spent, self._prices)
        return self.ask_anew(key, messages, stopped)

    def ask_anew(self, key: str, messages: Sequence[Message], stopped: threading.Event) -> Answer:
        """Ask for one answer, known already or not, and keep it.

        Raises:
            UserError, TryAgain: as `ask`, but for the budget.
        """
        answer = self._client.ask({**self._request, "messages": messages}, stopped)
        self._require_usage(answer)
        outcome, probability, output = self._note(answer)
        self.cache.add(
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
        return answer

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
