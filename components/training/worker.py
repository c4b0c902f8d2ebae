"""One of the processes that train a policy together: `torchrun -m nashflow.components.training.worker`, with the flags
of `launchers.base.arguments`.

Exit codes are the step's. Rank 0 speaks for all of them, and publishes the policy.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from ..core.errors import TryAgain, UserError
from ..runtime import protocol, voice
from .launchers.base import require_shares
from .launchers.failure import hand_over
from .settings import TrainingStep
from .step import VERSION
from .task import Task

_STEP = "training"
_GLANCE_SECONDS = 1.0


def main(arguments: Sequence[str]) -> NoReturn:
    """Carry out one rank's part of a training, and exit."""
    code = [1]
    atexit.register(_leave, code)  # what is registered later is called before it
    _end_with_parent()
    signal.signal(signal.SIGTERM, protocol.terminate)
    try:
        code[0] = _carry_out(arguments)
    except SystemExit as end:
        code[0] = end.code if isinstance(end.code, int) else 1
    sys.exit(code[0])


def _carry_out(arguments: Sequence[str]) -> int:
    """The exit code of a rank's part."""
    try:
        call, style = protocol.read_call(_STEP, TrainingStep, arguments)
        require_shares(int(os.environ["WORLD_SIZE"]), call.settings.training.batch_size)
        task = Task.of(call, VERSION)
        if int(os.environ["RANK"]):
            task.take_part()
        else:
            with voice.speaking(protocol.place(_STEP, call), style):
                task.carry_out()
    except UserError as error:
        hand_over(error)
        return protocol.USER_ERROR
    except TryAgain as error:
        hand_over(error)
        return protocol.TRY_AGAIN
    except Exception as error:
        hand_over(error)
        return 1
    return 0


def _leave(code: list[int]) -> None:
    """End this process at once: threads of torch's process groups may abort it where the interpreter winds down, and
    torchrun would take that for a failure."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code[0])


def _end_with_parent() -> None:
    """End this process when its parent is gone: torchrun starts it in a session of its own, where no signal to the
    step's group reaches it."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_GLANCE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
