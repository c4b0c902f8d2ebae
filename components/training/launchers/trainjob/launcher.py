"""Training on several nodes, by a TrainJob of Kubeflow Trainer."""

import os
import re
import sys
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from ....core.digests import digest_json
from ....runtime import voice
from ....runtime.protocol import Call
from ..base import Launcher, arguments
from .api import Api
from .attempt import carry_out
from .manifest import train_job

_POD = "nashflow.components.training.launchers.trainjob.pod"
_INHERITED = (voice.FORMAT, voice.SECONDS)


class TrainJob(Launcher):
    """Several pods, each with what `cluster.steps.training` asks for, by a TrainJob of Kubeflow Trainer (2.2 or newer).

    The step's own pod asks for little, makes the TrainJob, copies its logs and deletes it. Secrets, volumes, image and
    account are those of the step.
    """

    kind: Literal["trainjob"] = "trainjob"
    nodes: int = Field(2, ge=1, le=10_000)
    """How many pods."""
    processes: int | None = Field(None, ge=1)
    """Processes in each pod; left out: one for each of its accelerators, or one."""
    runtime: str = Field("torch-distributed", min_length=1, max_length=253)
    """The TrainingRuntime of the run's namespace, or else the cluster's; one for torch."""

    @property
    def several(self) -> bool:
        """Unless it is told to start one."""
        return (self.nodes, self.processes) != (1, 1)

    def run(self, call: Call[Any], work: Callable[[], None]) -> None:
        """Make the TrainJob, or attach to it, and follow it to its end.

        Raises:
            UserError: this is no pod of a run, or the cluster refuses; or as every launcher. Pending, SystemExit: with
                the exit code of a node.
            TryAgain: as every launcher; or the TrainJob is gone, or the API stays away.
        """
        api = Api()
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        command = [sys.executable, "-m", _POD, *arguments(call)]
        runtime = api.runtime(self.runtime)
        job = train_job(name_of(call), api.own_pod(), runtime, self.nodes, self.processes, command, env)
        with voice.handed_over():
            carry_out(api, job)


def name_of(call: Call[Any]) -> str:
    """The name of a training's TrainJob, the same for all attempts, at most 51 letters: its pods' names are longer.

    Such as train-mine-001-main-1a2b3c4d, with the run root's last folder and the phase as far as there is room.
    """
    run, phase = (re.sub(r"[^a-z0-9]+", "-", text.lower()) for text in (call.store.uri.rpartition("/")[2], call.phase))
    digest = digest_json([call.store.uri, call.iteration, call.phase])[:8]
    name = f"train-{run[:20]}-{call.iteration:03d}-{phase[:10]}-{digest}"
    return re.sub("-+", "-", name)
