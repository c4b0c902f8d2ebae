"""Training in several processes on the step's machine, by torchrun."""

import sys
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ...core.errors import UserError
from ...runtime import voice
from ...runtime.protocol import TERMINATED, Call
from .base import WORKER, Launcher, arguments
from .failure import failure_of

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig

HERE = "127.0.0.1"


class Torchrun(Launcher):
    """Several processes on the step's machine, one for each GPU."""

    kind: Literal["torchrun"] = "torchrun"
    processes: int | None = Field(None, ge=1)
    """How many; left out: as many as the machine has GPUs."""

    def run(self, call: Call[Any], work: Callable[[], None]) -> None:
        """Start them; the first one that fails ends the others.

        Raises:
            UserError: there are no GPUs, and `processes` is not set; or as every launcher.
            TryAgain: as every launcher.
        """
        # This machine is reached by its loopback address: pods need not be able to look up their own names.
        here = {"run_id": uuid.uuid4().hex, "rdzv_backend": "c10d", "rdzv_endpoint": f"{HERE}:0", "local_addr": HERE}
        with voice.handed_over():
            start(config_of(self._count(), 1, **here), arguments(call))

    def _count(self) -> int:
        import torch

        count = self.processes or torch.cuda.device_count()
        if not count:
            raise UserError("training.launcher: there is no GPU here: set training.launcher.processes to a number")
        return count


def config_of(processes: int, machines: int, **meeting: Any) -> "LaunchConfig":
    """How torchrun starts processes on this machine, one of several; `meeting`: how the machines find one another."""
    import logging

    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # failures are told by our line
    return LaunchConfig(
        min_nodes=machines,
        max_nodes=machines,
        nproc_per_node=processes,
        max_restarts=0,
        signals_to_handle="SIGTERM,SIGINT",
        logs_specs=DefaultLogsSpecs(),
        **meeting,
    )


def start(config: "LaunchConfig", flags: Sequence[str]) -> None:
    """Run workers with these flags to their end; the first one that fails ends the others.

    Raises:
        UserError, TryAgain: as every launcher. SystemExit: on SIGTERM.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    try:
        elastic_launch(config, sys.executable)("-m", WORKER, *flags)
    except SignalException:
        sys.exit(TERMINATED)
    except ChildFailedError as error:
        raise failure_of(error) from None
