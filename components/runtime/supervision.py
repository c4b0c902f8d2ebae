"""A child process, started again where that may help; its parent hands signals through."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence

FINAL = (0, 2, 3)
"""Exit codes that are not tried again: done, a mistake of the user's, and a wait for something from outside."""

_FIRST_WAIT, _FACTOR, _LONGEST_WAIT = 30.0, 2.0, 600.0
_POLL_SECONDS = 0.2


def supervise(command: Sequence[str], retries: int, name: str, first_wait: float = _FIRST_WAIT) -> int:
    """Run a command, and at most `retries` times again while it fails; the exit code of its last attempt.

    SIGTERM and SIGINT go to the child, and end the attempts. The first wait is `first_wait` seconds, the next ones
    twice as long each, ten minutes at most. An attempt that a signal ended has the exit code 128 + n, as in a shell.
    """
    child = _Child(command)
    for attempt in range(1, retries + 2):
        code = child.run()
        if code in FINAL or child.stopped or attempt > retries:
            return code
        wait = min(first_wait * _FACTOR ** (attempt - 1), _LONGEST_WAIT)
        again = f"attempt {attempt} of {retries + 1} ended with exit code {code}; again in {wait:g} s"
        print(f"{name}: {again}", file=sys.stderr, flush=True)
        child.sleep(wait)
        if child.stopped:
            return code
    raise AssertionError("unreachable")


class _Child:
    """The command's process, while it runs, and whether a signal has asked for the end."""

    def __init__(self, command: Sequence[str]) -> None:
        self.stopped = False
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def run(self) -> int:
        """One attempt."""
        self._process = subprocess.Popen(self._command)
        if self.stopped:  # the signal came while it was being started
            self._process.terminate()
        code = self._process.wait()
        self._process = None
        return code if code >= 0 else 128 - code

    def sleep(self, seconds: float) -> None:
        """Wait, unless a signal asks for the end."""
        end = time.monotonic() + seconds
        while not self.stopped and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_SECONDS))

    def _stop(self, number: int, frame: object) -> None:
        self.stopped = True
        if self._process:
            self._process.send_signal(number)
