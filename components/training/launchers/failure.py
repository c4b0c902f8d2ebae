"""The failure of one of several processes: what it hands over, and what is said of it."""

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from ...core.errors import TryAgain, UserError, one_line
from ...core.redaction import redact, traceback_of
from ...runtime.protocol import TERMINATED, TRY_AGAIN, USER_ERROR

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

_FILE = "TORCHELASTIC_ERROR_FILE"
"""The variable of the environment by which torchrun names the file that a process hands its error over in."""
_ENDED = (-signal.SIGTERM, TERMINATED)
"""Exit codes of processes that torchrun has ended because of another one."""

_LOST = ("closed by peer", "reset by peer")
"""What gloo says of a process that is gone: told by those that have missed it."""


def hand_over(error: BaseException) -> None:
    """Write an error down for torchrun; without it, for people."""
    told = isinstance(error, UserError | TryAgain)
    line = redact(one_line(error) if told else f"{type(error).__name__}: {one_line(error)}")
    if path := os.environ.get(_FILE):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"message": line, "timestamp": int(time.time())}, file)
    else:
        sys.stderr.write(traceback_of(error))


def failure_of(error: "ChildFailedError") -> UserError | TryAgain:
    """The error that is the cause of the others, in one line.

    A process that was killed is the cause, whatever the others have said since: they have only missed it. So have those
    that failed by surprise where another one has a line for the user.
    """
    causes = {rank: failure for rank, failure in error.failures.items() if failure.exitcode not in _ENDED}
    causes = causes or error.failures
    order = {
        rank: (_weight(failure.exitcode), any(lost in str(failure.message) for lost in _LOST), failure.timestamp, rank)
        for rank, failure in causes.items()
    }
    rank = min(order, key=order.__getitem__)
    cause = causes[rank]
    if cause.exitcode == USER_ERROR:
        return UserError(str(cause.message))
    return TryAgain(f"process {rank} of the training {_end(cause)}; run the same command again")


def _weight(code: int) -> int:
    """Where an exit code stands among those that may be the cause, the likeliest first."""
    return 0 if code < 0 else 1 if code in (USER_ERROR, TRY_AGAIN) else 2


def _end(cause: "ProcessFailure") -> str:
    if cause.exitcode < 0:
        often = " (often: the memory is full)" if cause.exitcode == -signal.SIGKILL else ""
        return f"was ended by {cause.signal_name()}{often}"
    return f"has failed: {one_line(cause.message)}"
