"""The gate of a registered model: one run at a time may compare itself with the champion and take its place.

Held by an object beside the run roots, `gates/<model>`, one generation for each sign of life. Whether a holder is alive
is seen from its changes alone, on the reader's own clock: clocks of two machines are never compared.
"""

import contextlib
import json
import threading
import uuid
from collections.abc import Iterator

from ..core.errors import TryAgain
from ..storage import generations, layout
from ..storage.generations import Generation
from ..storage.signs_of_life import giving, silent
from ..storage.store import Store

_BEAT_SECONDS, _SILENT_SECONDS, _LOOK_SECONDS = 10.0, 60.0, 0.5
"""How often a holder gives a sign of life; after how long without one it is dead; how often others look."""
_FREE = b"{}"


class Gate:
    """A gate that this process holds until another one takes it for dead."""

    def __init__(self, store: Store, key: str, run: str) -> None:
        """`store`: of the prefix; `run`: the run root of the holder."""
        self._store, self._key, self._run = store, key, run
        self._token, self._beats, self._mutex = uuid.uuid4().hex, 0, threading.Lock()

    def require(self) -> None:
        """Give a sign of life; for right before the champion is changed.

        Raises:
            TryAgain: another run has taken the gate over.
        """
        if not self.beat():
            raise TryAgain(
                f"{self._run}: another run is at the gate {self._store.location(self._key)} since this one gave no "
                f"sign of life for {_SILENT_SECONDS:.0f} seconds: run the same command again"
            )

    def take(self) -> None:
        """Take it, from a dead holder after a minute.

        Raises:
            TryAgain: another run is at it.
        """
        while True:
            current = generations.newest(self._store, self._key)
            if current and current.data != _FREE and self._alive(current):
                raise TryAgain(
                    f"{_holder(current)} is at the gate of this registered model, which lets one run through at a "
                    f"time ({self._store.location(self._key)}): run the same command again when it has ended"
                )
            if generations.put(self._store, self._key, self._sign(), current):
                return

    def give_back(self) -> None:
        """Let others take it, unless one has."""
        with self._mutex:
            while (current := generations.newest(self._store, self._key)) and self._is_mine(current):
                if generations.put(self._store, self._key, _FREE, current):
                    return

    def beat(self) -> bool:
        """Give a sign of life; whether it is still this process's."""
        with self._mutex:
            while (current := generations.newest(self._store, self._key)) and self._is_mine(current):
                if generations.put(self._store, self._key, self._sign(), current):
                    return True
            return False

    def _alive(self, seen: Generation) -> bool:
        """Whether it changes within a minute, or is given back."""
        if silent(self._store, self._key, seen, _SILENT_SECONDS, _LOOK_SECONDS):
            return False
        now = generations.newest(self._store, self._key)
        return now is not None and now.data != _FREE

    def _sign(self) -> bytes:
        self._beats += 1
        return json.dumps({"run": self._run, "token": self._token, "beats": self._beats}).encode()

    def _is_mine(self, generation: Generation) -> bool:
        return self._token.encode() in generation.data


def _holder(generation: Generation) -> str:
    try:
        return f"the run {json.loads(generation.data)['run']}"
    except (ValueError, TypeError, KeyError):
        return "another run"


@contextlib.contextmanager
def gate(run_root: Store, model: str) -> Iterator[Gate]:
    """Within this block the run under `run_root` is the only one, of those beside it, at the gate of a registered
    model.

    Raises:
        TryAgain: another run is at it.
    """
    held = Gate(run_root.at(".."), f"{layout.GATES}/{model}", run_root.uri)
    held.take()
    try:
        with giving(held.beat, _BEAT_SECONDS):
            yield held
    finally:
        held.give_back()
