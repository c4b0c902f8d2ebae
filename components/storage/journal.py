"""The journal of a long unit: whole micro-batches, in canonical order, from which a restarted unit goes on."""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, islice
from types import TracebackType
from typing import Any, Self

from .units import Unit

_FLUSH_SECONDS = 15.0
_FLUSH_CHARACTERS = 4_000_000
"""So many are kept in memory at most, whatever the time."""


class Journal:
    """Entries (JSON values, one a micro-batch) kept under `<unit>.journal/<fingerprint>/` in segments.

    A segment is written when `NASHFLOW_JOURNAL_SECONDS` (15) have passed since the last one, or when there is much to
    write, and when the block that uses the journal ends early, be it by an error or by SIGTERM. Stale journals, of
    other settings or inputs, are never read.

    Memory holds the entries of the next segment alone; the others are read from a file of this process, an entry a line
    (another copy of the unit may replace or delete the segments).
    """

    def __init__(self, unit: Unit) -> None:
        self._store = unit.store
        self._prefix = f"{_folder(unit)}/{unit.fingerprint[:16]}/"
        self._every = seconds_between_segments()
        self._file = tempfile.NamedTemporaryFile("w", prefix="nashflow-journal-", encoding="utf-8")  # noqa: SIM115
        # How many entries are in segments, and the text of each that is not. One attribute, since SIGTERM may strike
        # between any two lines.
        self._state: tuple[int, list[str]] = 0, []
        self._size = 0
        self.spent = 0.0
        """Seconds that earlier attempts took for the entries that they have left."""
        for segment in self._load():
            self._hand_over([json.dumps(entry) for entry in segment])
        self._begun = self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._flush()
        self._file.close()

    def __len__(self) -> int:
        kept, pending = self._state
        return kept + len(pending)

    def __iter__(self) -> Iterator[Any]:
        """All entries in order."""
        return self.read()

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Any]:
        """The entries from `start` to `stop`, as slices count, of those that are there now."""
        kept, pending = self._state
        self._file.flush()
        lines = chain(islice(_lines(self._file.name), kept), list(pending))
        return map(json.loads, islice(lines, start, stop))

    def append(self, entry: Any) -> None:
        """Add the next micro-batch."""
        text = json.dumps(entry)
        self._state[1].append(text)
        self._size += len(text)
        if time.monotonic() - self._flushed >= self._every or self._size >= _FLUSH_CHARACTERS:
            self._flush()

    def _load(self) -> Iterator[list[Any]]:
        position = 0
        for key in self._store.list(self._prefix):
            start = int(key.removeprefix(self._prefix).removesuffix(".json"))
            if start < position:  # another copy of the unit left it: later segments went past it
                continue
            if start > position:
                return
            try:
                segment = json.loads(self._store.read(key))
            except ValueError:  # damaged: the unit goes on before it, and writes it again
                return
            if isinstance(segment, list):  # of earlier versions
                segment = {"seconds": self.spent, "entries": segment}
            position, self.spent = position + len(segment["entries"]), segment["seconds"]
            yield segment["entries"]

    def _flush(self) -> None:
        kept, pending = self._state
        if pending:
            seconds = round(self.spent + time.monotonic() - self._begun, 3)
            segment = f'{{"seconds": {seconds}, "entries": [{", ".join(pending)}]}}'
            self._store.write(f"{self._prefix}{kept:09d}.json", segment.encode())
            self._hand_over(pending)
        self._size, self._flushed = 0, time.monotonic()

    def _hand_over(self, entries: list[str]) -> None:
        """Move entries that are in a segment from memory to the file."""
        self._file.writelines(f"{entry}\n" for entry in entries)
        self._state = self._state[0] + len(entries), []


def _lines(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8") as file:
        yield from file


def seconds_between_segments() -> float:
    """How long work that is done may stay unwritten."""
    return float(os.environ.get("NASHFLOW_JOURNAL_SECONDS", _FLUSH_SECONDS))


def discard(unit: Unit) -> None:
    """Delete the journals of a unit that is published, those of other settings included."""
    for key in unit.store.list(_folder(unit)):
        unit.store.delete(key)


def _folder(unit: Unit) -> str:
    return f"{unit.key}.journal"
