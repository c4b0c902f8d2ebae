"""Conditional writes, with two writers at once: of them one has to win."""

import threading
from concurrent.futures import ThreadPoolExecutor

from nashflow.components.storage.store import Store

from .finding import Finding

_ROUNDS, _WRITERS = 10, 2
KEYS = tuple(f"race-{number}" for number in range(_ROUNDS))
"""The probe objects."""


def conditional_writes(check: str, store: Store) -> Finding:
    """Let two writers create each of the probe objects, both at the same time: locks and ledgers rest on that."""
    created = [_winners(store, key) for key in KEYS]
    tried = "If-None-Match with two writers at once"
    if max(created) == 1:
        return Finding(check, "ok", tried, "one of them wins")
    both = sum(number > 1 for number in created)
    found = f"both of them win in {both} of {_ROUNDS} races" if both else "none of them may write"
    advice = "two runs could take one run root in this store: bring it up to date, or use another one"
    return Finding(check, "failed", tried, found, advice)


def _winners(store: Store, key: str) -> int:
    """How many of the writers are told that they wrote."""
    together = threading.Barrier(_WRITERS)

    def write(_: int) -> bool:
        together.wait()
        return store.create(key, b"NashFlow")

    with ThreadPoolExecutor(_WRITERS) as pool:
        return sum(pool.map(write, range(_WRITERS)))
