"""The journal of a long unit: whole micro-batches, in canonical order, from which a restarted unit goes on."""

import json
import os
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from .units import Unit

_FLUSH_SECONDS = 15.0


class Journal:
    """Entries (JSON values, one a micro-batch) kept under `<unit>.journal/<fingerprint>/` in segments.

    A segment is written when `NASHFLOW_JOURNAL_SECONDS` (15) have passed since the last one, and when the block that
    uses the journal ends early, be it by an error or by SIGTERM. Stale journals, of other settings or inputs, are never
    read.
    """

    def __init__(self, unit: Unit) -> None:
        self._store = unit.store
        self._prefix = f"{_folder(unit)}/{unit.fingerprint[:16]}/"
        self._every = float(os.environ.get("NASHFLOW_JOURNAL_SECONDS", _FLUSH_SECONDS))
        self.entries: list[Any] = list(self._load())
        self._kept = len(self.entries)
        self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._flush()

    def append(self, entry: Any) -> None:
        """Add the next micro-batch."""
        self.entries.append(entry)
        if time.monotonic() - self._flushed >= self._every:
            self._flush()

    def _load(self) -> Iterator[Any]:
        position = 0
        for key in self._store.list(self._prefix):
            start = int(key.removeprefix(self._prefix).removesuffix(".json"))
            if start < position:  # another copy of the unit left it: later segments went past it
                continue
            if start > position:
                return
            segment = json.loads(self._store.read(key))
            position += len(segment)
            yield from segment

    def _flush(self) -> None:
        if pending := self.entries[self._kept :]:  # no second list: SIGTERM may strike between any two lines
            self._store.write(f"{self._prefix}{self._kept:09d}.json", json.dumps(pending).encode())
        self._kept += len(pending)
        self._flushed = time.monotonic()


def discard(unit: Unit) -> None:
    """Delete the journals of a unit that is published, those of other settings included."""
    for key in unit.store.list(_folder(unit)):
        unit.store.delete(key)


def _folder(unit: Unit) -> str:
    return f"{unit.key}.journal"
