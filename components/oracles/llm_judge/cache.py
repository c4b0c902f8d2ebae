"""The verdict cache: what a judge has answered, by the messages to it.

It lies beside the run roots, at `<prefix>/cache/verdicts/<judge>/`, where `<judge>` is the digest of the model's name,
the template and the sampling parameters, and is shared between runs. An answer is written as soon as it is there,
together with those that came while others were being written. Each process has files of its own, of which the last one
grows; a file's name begins with the run that paid for its answers.
"""

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool

from ...core.digests import sha256_bytes
from ...core.errors import UserError
from ...storage import layout, records
from ...storage.journal import seconds_between_segments
from ...storage.records import CachedVerdict
from ...storage.store import Store
from ...storage.store_keys import Entry
from .budget import Spent

_READ_AT_ONCE = 16
_IN_A_FILE = 64
"""A file that has so many answers grows no more: it is written anew with every few of them."""


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

    def __init__(self, run_root: Store | None, judge: str, *, follow: bool, outputs: bool = False) -> None:
        """Without a run root the answers are kept in memory alone.

        `follow`: read, time and again, what other processes write meanwhile, so that `spent` has their part; `outputs`:
        have the judge's texts at hand.
        """
        self._store = run_root.at("..").at(f"{layout.VERDICT_CACHE}/{judge}") if run_root else None
        self._run = sha256_bytes(run_root.uri.encode())[:16] if run_root else ""
        self._lock = threading.Lock()
        self._verdicts: dict[str, tuple[str, float]] = {}
        self._outputs: dict[str, str] | None = {} if outputs else None
        self._new: list[CachedVerdict] = []
        self._writing = threading.Lock()
        self._process, self._full, self._growing = uuid.uuid4().hex[:16], 0, list[CachedVerdict]()
        self._files: dict[str, Entry] = {}
        self._rows: dict[str, int] = {}
        self._follow, self._every, self._followed = follow, seconds_between_segments(), time.monotonic()
        self.spent = Spent()
        """All that the run has paid for, this process's answers among them."""
        self._paid: dict[str, Paid] = {}
        self._read_others()

    def find(self, key: str) -> tuple[str, float] | None:
        """The outcome and P(A is better), if the judge has answered."""
        return self._verdicts.get(key)

    def output(self, key: str) -> str:
        """The output of an answer that the judge has given, of a cache that has outputs at hand."""
        assert self._outputs is not None
        return self._outputs[key]

    def paid(self, part: str) -> Paid:
        """What other processes of the run have paid for under a part's name, as far as that has been read."""
        return self._paid.get(part, Paid())

    def add(self, verdict: CachedVerdict) -> None:
        """Keep an answer. It is written when this returns, unless another thread is writing: that one goes on."""
        with self._lock:
            self._keep(verdict)
            if self._store and verdict["outcome"] != "too_long":  # which depends on how the server was started
                self._new.append(verdict)
            self.spent += Spent(verdict["input_tokens"], verdict["output_tokens"])
        while self._new and self._writing.acquire(blocking=False):
            try:
                self._write()
                if self._follow and time.monotonic() - self._followed >= self._every:
                    self._read_others()
            finally:
                self._writing.release()

    def flush(self) -> None:
        """Wait until everything is written."""
        with self._writing:
            self._write()

    def _write(self) -> None:
        """Write the file that grows, with what is new."""
        new = list(self._new)
        if not self._store or not new:
            return
        rows = [*self._growing, *new]
        data = records.to_bytes(records.table(rows, records.VERDICTS), records.VERDICTS, "verdicts")
        self._store.write(self._own(), data)
        with self._lock:
            del self._new[: len(new)]
        self._growing = rows
        if len(rows) >= _IN_A_FILE:
            self._full, self._growing = self._full + 1, []

    def _own(self) -> str:
        return f"{self._run}-{self._process}-{self._full:06d}.parquet"

    def _read_others(self) -> None:
        """Read what other processes have written since."""
        self._followed = time.monotonic()
        for name, rows in self._others():
            known = self._rows.get(name, 0)
            self._rows[name] = len(rows)
            with self._lock:
                for row in rows[known:]:
                    self._keep(row)
                    if name.startswith(f"{self._run}-"):
                        self.spent += Spent(row["input_tokens"], row["output_tokens"])
                        self._paid.setdefault(row["part"], Paid()).add(row)

    def _others(self) -> Iterator[tuple[str, list[CachedVerdict]]]:
        """The files of other processes that are new, or have grown."""
        found = self._store.entries() if self._store else {}
        own = f"{self._run}-{self._process}-"
        changed = (name for name, entry in found.items() if entry != self._files.get(name))
        names = [name for name in changed if not name.startswith(own)]
        if not names:
            return
        self._files.update({name: found[name] for name in names})
        with ThreadPool(_READ_AT_ONCE) as pool:
            yield from zip(names, pool.imap(self._read, names), strict=True)

    def _read(self, name: str) -> list[CachedVerdict]:
        assert self._store
        try:
            rows = records.from_bytes(self._store.read(name), records.VERDICTS, self._store.location(name))
        except UserError as error:
            raise UserError(f"{error}; delete that file: verdicts that it alone held are asked for again") from None
        kept: list[CachedVerdict] = (rows if self._outputs is not None else rows.drop_columns(["output"])).to_pylist()
        return kept

    def _keep(self, verdict: CachedVerdict) -> None:
        if self._outputs is not None and verdict["key"] not in self._verdicts:
            self._outputs[verdict["key"]] = verdict["output"]
        self._verdicts.setdefault(verdict["key"], (verdict["outcome"], verdict["probability"]))
