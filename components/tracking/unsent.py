"""Points of curves that MLflow was away for: kept in the run root until a later step sends them."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import NamedTuple

from ..storage import layout
from ..storage.store import Store
from .metrics import Point


class Unsent(NamedTuple):
    """Points of one step, and the key under which they are kept."""

    key: str
    iteration: int
    step: str
    points: list[Point]


def keep(store: Store, iteration: int, step: str, points: Sequence[Point]) -> None:
    """Keep points of a step of an iteration."""
    key = f"{layout.UNSENT}/{time.time_ns()}-{os.urandom(4).hex()}.json"
    data = {"iteration": iteration, "step": step, "points": [asdict(point) for point in points]}
    store.write(key, json.dumps(data).encode())


def kept(store: Store) -> Iterator[Unsent]:
    """What is kept, oldest first; not what another process sends and deletes meanwhile."""
    for key in sorted(store.list(layout.UNSENT)):
        try:
            data = json.loads(store.read(key))
        except FileNotFoundError:
            continue
        yield Unsent(key, data["iteration"], data["step"], [Point(**point) for point in data["points"]])
