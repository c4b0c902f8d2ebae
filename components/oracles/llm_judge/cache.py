"""The verdict cache: what a judge has answered, by the messages to it.

It lies beside the run roots, at `<prefix>/cache/verdicts/<judge>/`, where `<judge>` is the digest of the model's name,
the template and the sampling parameters, and is shared between runs. Answers are written every few seconds, so that a
step that is killed asks again about the last ones at most. A file's name begins with the run that paid for its answers.
"""

import threading
import time
import weakref
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool

from ...core.digests import sha256_bytes
from ...core.errors import UserError
from ...storage import layout, records
from ...storage.journal import seconds_between_segments
from ...storage.records import CachedVerdict
from ...storage.store import Store
from .budget import Spent

_READ_AT_ONCE = 16


@dataclass
class Paid:
    """The answers that a part of a unit of work has paid for."""

    keys: set[str] = field(default_factory=set)
    calls: int = 0
    spent: Spent = field(default_factory=Spent)

    def add(self, verdict: CachedVerdict) -> None:
        """Another one."""
        self.keys.add(verdict["key"])
        self.calls += 1
        self.spent += Spent(verdict["input_tokens"], verdict["output_tokens"])


class VerdictCache:
    """The answers of one judge, for one run. Threads share it."""

    def __init__(self, run_root: Store | None, judge: str, *, follow: bool) -> None:
        """Without a run root the answers are kept in memory alone.

        `follow`: read, time and again, what other processes write meanwhile, so that `spent` has their part.
        """
        self._store = run_root.at("..").at(f"{layout.VERDICT_CACHE}/{judge}") if run_root else None
        self._run = sha256_bytes(run_root.uri.encode())[:16] if run_root else ""
        self._lock = threading.Lock()
        self._verdicts: dict[str, tuple[str, float]] = {}
        self._new: list[CachedVerdict] = []
        self._files: set[str] = set()
        self._follow, self._every, self._flushed = follow, seconds_between_segments(), time.monotonic()
        self.spent = Spent()
        """All that the run has paid for, this process's answers among them."""
        self._paid: dict[str, Paid] = {}
        self._read_others()
        if self._store:  # what is left is written when the judge is closed, or the process ends
            _bytes([])  # imports what a process that is ending could not import any more
            weakref.finalize(self, _write, self._store, self._run, self._new)

    def find(self, key: str) -> tuple[str, float] | None:
        """The outcome and P(A is better), if the judge has answered."""
        return self._verdicts.get(key)

    def paid(self, part: str) -> Paid:
        """What other processes of the run have paid for under a part's name, as far as that has been read."""
        return self._paid.get(part, Paid())

    def add(self, verdict: CachedVerdict) -> None:
        """Keep an answer."""
        with self._lock:
            self._verdicts.setdefault(verdict["key"], (verdict["outcome"], verdict["probability"]))
            if self._store and verdict["outcome"] != "too_long":  # which depends on how the server was started
                self._new.append(verdict)
            self.spent += Spent(verdict["input_tokens"], verdict["output_tokens"])
            if time.monotonic() - self._flushed >= self._every:
                self._flush()

    def flush(self) -> None:
        """Write what is not written yet."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._store:
            self._files.update(_write(self._store, self._run, self._new))
            if self._follow:
                self._read_others()
        self._flushed = time.monotonic()

    def _read_others(self) -> None:
        """Read the files that other processes have written."""
        if self._store is None:
            return
        names = [name for name in self._store.list("") if name not in self._files]
        with ThreadPool(_READ_AT_ONCE) as pool:
            for name, rows in zip(names, pool.imap(self._read, names), strict=True):
                self._files.add(name)
                for row in rows:
                    self._verdicts.setdefault(row["key"], (row["outcome"], row["probability"]))
                    if name.startswith(f"{self._run}-"):
                        self.spent += Spent(row["input_tokens"], row["output_tokens"])
                        self._paid.setdefault(row["part"], Paid()).add(row)

    def _read(self, name: str) -> list[CachedVerdict]:
        assert self._store
        try:
            rows = records.from_bytes(self._store.read(name), records.VERDICTS, self._store.location(name))
        except UserError as error:
            raise UserError(f"{error}; delete that file: verdicts that it alone held are asked for again") from None
        kept: list[CachedVerdict] = rows.drop_columns(["output"]).to_pylist()
        return kept


def _write(store: Store, run: str, verdicts: list[CachedVerdict]) -> list[str]:
    """Write verdicts, and empty the list; the name of the file, if there is one."""
    if not verdicts:
        return []
    data = _bytes(verdicts)
    name = f"{run}-{sha256_bytes(data)[:16]}.parquet"
    store.write(name, data)
    verdicts.clear()
    return [name]


def _bytes(verdicts: list[CachedVerdict]) -> bytes:
    return records.to_bytes(records.table(verdicts, records.VERDICTS), records.VERDICTS, "verdicts")
