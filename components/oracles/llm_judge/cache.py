"""The verdict cache: what a judge has answered, by the messages to it.

It lies beside the run roots, at `<prefix>/cache/verdicts/<judge>/`, where `<judge>` is the digest of the model's name,
the template and the sampling parameters, and is shared between runs. Answers are written within seconds, so that a step
that is killed asks again about the last ones at most. A file's name begins with the run that paid for its answers.
"""

import threading
import time
from multiprocessing.pool import ThreadPool

from ...core.digests import sha256_bytes
from ...storage import layout, records
from ...storage.journal import seconds_between_segments
from ...storage.records import CachedVerdict
from ...storage.store import Store
from .budget import Spent

_READ_AT_ONCE = 16


class VerdictCache:
    """The answers of one judge, for one run. Threads share it."""

    def __init__(self, run_root: Store | None, judge: str) -> None:
        """Without a run root the answers are kept in memory alone."""
        self._store = run_root.at("..").at(f"{layout.VERDICT_CACHE}/{judge}") if run_root else None
        self._run = sha256_bytes(run_root.uri.encode())[:16] if run_root else ""
        self._lock = threading.Lock()
        self._verdicts: dict[str, tuple[str, float]] = {}
        self._new: list[CachedVerdict] = []
        self._files: set[str] = set()
        self._every, self._flushed = seconds_between_segments(), time.monotonic()
        self.spent = Spent()
        """All that the run has paid for, this process's answers among them."""
        self._read_others()

    def find(self, key: str) -> tuple[str, float] | None:
        """The outcome and P(A is better), if the judge has answered."""
        return self._verdicts.get(key)

    def add(self, verdict: CachedVerdict) -> None:
        """Keep an answer."""
        with self._lock:
            self._verdicts.setdefault(verdict["key"], (verdict["outcome"], verdict["probability"]))
            self._new.append(verdict)
            self.spent += Spent(verdict["input_tokens"], verdict["output_tokens"])
            if time.monotonic() - self._flushed >= self._every:
                self._flush()

    def flush(self) -> None:
        """Write what is not written yet."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._store and self._new:
            data = records.to_bytes(records.table(self._new, records.VERDICTS), records.VERDICTS, "verdicts")
            name = f"{self._run}-{sha256_bytes(data)[:16]}.parquet"
            self._store.write(name, data)
            self._files.add(name)
            self._read_others()
        self._new.clear()
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

    def _read(self, name: str) -> list[CachedVerdict]:
        assert self._store
        rows = records.from_bytes(self._store.read(name), records.VERDICTS, self._store.location(name))
        kept: list[CachedVerdict] = rows.drop_columns(["output"]).to_pylist()
        return kept
