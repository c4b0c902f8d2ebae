"""Signs of life of a process that holds something, by generations that it renews, and how others watch for them.

A watcher goes by changes alone, on its own clock: clocks of two machines are never compared.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from . import generations
from .generations import Generation
from .store import Store


@contextlib.contextmanager
def giving(sign: Callable[[], object], every: float) -> Iterator[None]:
    """Within this block `sign` is called every so many seconds, by a thread; one that fails is passed over."""
    done = threading.Event()
    thread = threading.Thread(target=_give_until, args=(sign, every, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=1.0)  # a store that hangs must not eat the seconds that a stopped pod is given


def _give_until(sign: Callable[[], object], every: float, done: threading.Event) -> None:
    while not done.wait(every):
        with contextlib.suppress(Exception):  # the next attempt comes well before the holder counts as dead
            sign()


def silent(store: Store, key: str, seen: Generation, seconds: float, every: float) -> bool:
    """Whether `seen` stands for so many seconds more; looked at every so many."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(every)
        if generations.newest(store, key) != seen:
            return False
    return True
