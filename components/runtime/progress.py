"""The progress of a step: work done, total, rate and figures.

A step says so in its loops. `voice` tells people, now and then; a listener, such as the tracker's curves, hears of
every batch. Work may have work inside: in a batch of prompts, the texts that a judge reads for it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from ..core.durations import in_words

Batch = TypeVar("Batch", bound=Sized)


class Listener(Protocol):
    """Hears of every batch of the outermost work."""

    def put(self, done: int, figures: Mapping[str, float], amounts: Mapping[str, int]) -> None:
        """`done` units in all; the batch's figures; the amounts of everything that this work has done so far."""

    def close(self) -> None:
        """No more will come."""


_TOLD = 8
"""How many figures people are told."""

_under_way: list["Progress"] = []
"""The outermost work first: a process runs one step."""
_listeners: list[Listener] = []


class Progress:
    """Work that is under way within a `with` block."""

    def __init__(self, unit: str, total: int, done: int = 0) -> None:
        """`total`: how many of a unit, such as `responses`; `done`: those of them that an earlier attempt has done."""
        self.unit, self.total, self.done = unit, total, done
        self.figures: Mapping[str, float] = {}
        """Those of the newest batch, the most telling first."""
        self._amounts: Counter[str] = Counter()
        self._begun = self._latest = time.monotonic()
        self._first: tuple[float, Mapping[str, int]] | None = None

    def __enter__(self) -> Self:
        _under_way.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _under_way.remove(self)

    def add(self, count: int, figures: Mapping[str, float] | None = None, /, **amounts: int) -> None:
        """Report a finished batch of `count` units, and the amounts of other things in it, such as `tokens`."""
        self.done, self.figures, self._latest = self.done + count, figures or {}, time.monotonic()
        self._amounts.update({self.unit: count, **amounts})
        self._first = self._first or (self._latest, dict(self._amounts))
        if _under_way[0] is self:
            for listener in _listeners:
                listener.put(self.done, self.figures, self._amounts)

    def rates(self) -> dict[str, float]:
        """How many a second, of the unit and of the other things; empty before the first batch.

        Measured from the first batch's end on, where there is a second one: a model is loaded before it.
        """
        if self._first is None:
            return {}
        (since, before), amounts = self._first, dict(self._amounts)
        if self._latest == since:
            since, before = self._begun, {}
        seconds = max(self._latest - since, 1e-9)
        return {name: (amount - before.get(name, 0)) / seconds for name, amount in amounts.items()}

    def left(self) -> float | None:
        """Seconds until all is done, at the present rate; None while that is not known."""
        rate = self.rates().get(self.unit)
        return max(0.0, (self.total - self.done) / rate - (time.monotonic() - self._latest)) if rate else None

    def describe(self) -> str:
        """All of it in words: 240 of 1,536 updates (16 %), 8.1/s, 2 min 40 s left, loss 0.421, 12,300 tokens/s."""
        share = f" ({100 * self.done // self.total} %)" if self.total else ""
        return ", ".join([f"{self.done:,} of {self.total:,} {self.unit}{share}", *self.details()])

    def details(self) -> list[str]:
        """Rate, time left, figures, other rates: each in words."""
        rates, left = self.rates(), self.left()
        own = [f"{_number(rates.pop(self.unit))}/s"] if self.unit in rates else []
        own += [f"{in_words(left)} left"] if left is not None and self.done < self.total else []
        figures = [f"{name} {_number(value)}" for name, value in islice(self.figures.items(), _TOLD)]
        return [*own, *figures, *(f"{_number(rate)} {name}/s" for name, rate in rates.items())]

    def to_json(self) -> dict[str, Any]:
        """The same for programs; rates are per second, times in seconds."""
        rates, left = {name: round(rate, 3) for name, rate in self.rates().items()}, self.left()
        timing = {"rates": rates, "left": None if left is None else round(left, 1)}
        return {"unit": self.unit, "done": self.done, "total": self.total, **timing, "figures": dict(self.figures)}


def over(
    batches: Iterable[Batch],
    unit: str,
    total: int,
    done: int = 0,
    amounts: Callable[[Batch], Mapping[str, int]] = lambda batch: {},
) -> Iterator[Batch]:
    """Yield batches of units; a batch counts as done when the next one is requested.

    `amounts` gives the amounts of other things in a batch, such as tokens.
    """
    with Progress(unit, total, done) as progress:
        for batch in batches:
            yield batch
            progress.add(len(batch), **amounts(batch))


def under_way() -> list[Progress]:
    """The work under way, the outermost first."""
    return list(_under_way)


def listen(listener: Listener) -> None:
    """Let one listener, instead of any before, hear of every batch from now on."""
    stop_listening()
    _listeners.append(listener)


def stop_listening() -> None:
    """Let the listener, if there is one, end its own work."""
    while _listeners:
        _listeners.pop().close()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
