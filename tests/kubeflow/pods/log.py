"""A container's log: lines with their times, to be read while they are written."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime


class Log:
    """Bytes in, lines out."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, bytes]] = []
        self._rest = b""
        self._changed = threading.Condition()
        self._closed = False

    def write(self, data: bytes) -> None:
        """Add what was written just now."""
        with self._changed:
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines += [(time.time(), line + b"\n") for line in lines]
            self._changed.notify_all()

    def say(self, *lines: str) -> None:
        """Add whole lines."""
        self.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        """There will be no more."""
        with self._changed:
            if self._rest:
                self._lines.append((time.time(), self._rest))
            self._rest, self._closed = b"", True
            self._changed.notify_all()

    def read(self, follow: bool, timestamps: bool, since: float | None) -> Iterator[bytes]:
        """The lines from `since` on, a time in seconds; with `follow`, until the log is closed."""
        at = 0
        while True:
            with self._changed:
                if follow and not self._closed and len(self._lines) == at:
                    self._changed.wait(1.0)
                found, closed = self._lines[at:], self._closed
            at += len(found)
            for moment, line in found:
                if since is None or moment >= since:
                    stamp = datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")[:-6] + "000Z "
                    yield (stamp.encode() if timestamps else b"") + line
            if (closed and not found) or not follow:
                return

    @property
    def last(self) -> str:
        """The last line."""
        with self._changed:
            return self._lines[-1][1].decode(errors="replace").rstrip() if self._lines else ""
