"""A step's figures on their way to MLflow while it works: in batches, from a thread of its own.

The work never waits: what the queue has no room for is dropped. While MLflow is away, of which the tracker warns once,
figures are kept in the run root and it is tried again every minute. A training's curves are in its manifest too, from
which the closing of the iteration sends what is missing.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Mapping

from .metrics import Point
from .mlflow_store import hurried, quiet
from .system import System
from .tracker import Tracker

_EVERY_SECONDS, _AGAIN_SECONDS = 5.0, 60.0
_ROOM = 20_000
_PATIENCE_SECONDS = 10.0


class Curves:
    """Sends figures to the run of a step: those of every batch, rates every few seconds, and those of the machine.

    NASHFLOW_CURVE_SECONDS: how often, instead of every 5 seconds.
    """

    def __init__(self, tracker: Tracker, iteration: int, step: str, suffix: str = "") -> None:
        """`step`: as the tracker has it; `suffix`: put after every name, to tell the shards of a step apart."""
        self._tracker, self._iteration, self._step, self._suffix = tracker, iteration, step, suffix
        self._every = float(os.environ.get("NASHFLOW_CURVE_SECONDS", _EVERY_SECONDS))
        self._waiting: queue.Queue[Point] = queue.Queue(_ROOM)
        self._rated: tuple[float, dict[str, int]] | None = None
        self._newest: tuple[int, float, dict[str, int]] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def put(self, done: int, figures: Mapping[str, float], amounts: Mapping[str, int]) -> None:
        """Take the figures of a batch; see `Listener`."""
        now = time.time()
        self._newest = done, now, dict(amounts)
        if self._rated is None:  # rates leave out the first batch, for which models are loaded
            self._rated = now, dict(amounts)
        self._add(done, now, figures)
        if now - self._rated[0] >= self._every:
            self._add_rates()

    def close(self) -> None:
        """Send the remaining figures, unless MLflow takes too long."""
        self._add_rates()
        self._closing.set()
        self._thread.join(_PATIENCE_SECONDS)

    def _add_rates(self) -> None:
        """How many a second since the last time."""
        if self._rated is None or self._newest is None:
            return
        (since, before), (done, now, amounts) = self._rated, self._newest
        if now > since:
            rates = {f"{name}_per_second": (amounts[name] - before.get(name, 0)) / (now - since) for name in amounts}
            self._add(done, now, rates)
            self._rated = now, amounts

    def _add(self, done: int, now: float, figures: Mapping[str, float]) -> None:
        if figures:
            named = {f"curve/{name}{self._suffix}": value for name, value in figures.items()}
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(Point(done, int(now * 1000), named))

    def _send(self) -> None:
        # Made here: psutil measures from the last time that the same thread asked.
        system, closing = System(self._suffix), False
        while not closing:
            closing = self._closing.wait(self._every if self._tracker.uri else max(self._every, _AGAIN_SECONDS))
            points = [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]
            with quiet(), hurried():
                if points := [*points, *system.points(last=closing)]:
                    self._tracker.retry()
                    self._tracker.points(self._iteration, self._step, points)
