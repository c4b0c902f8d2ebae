"""What the pods of a TrainJob run: two of them, here with a process each, that find one another and end together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.tracking import free_port

pytestmark = pytest.mark.runs
WORKER = """
import os, sys
from datetime import timedelta

import torch
import torch.distributed as distributed

distributed.init_process_group("gloo", timeout=timedelta(minutes=10))
rank = distributed.get_rank()
sum = torch.tensor([rank + 1.0])
distributed.all_reduce(sum)
print(f"rank {rank} of {distributed.get_world_size()}: {sum.item():g} {sys.argv[1]}", flush=True)
END
os._exit(0)  # as the worker does: threads of torch's process groups may abort an interpreter that winds down
"""
POD = """
import sys
from nashflow.components.training.launchers import torchrun
from nashflow.components.training.launchers.trainjob import pod
torchrun.WORKER = "worker"
pod.main(sys.argv[1:])
"""


def pods(folder: Path, end: str = "") -> list[subprocess.Popen[str]]:
    """Two pods, told of each other as Kubeflow Trainer tells it."""
    (folder / "worker.py").write_text(WORKER.replace("END", end))
    own = {"PET_NNODES": "2", "PET_NPROC_PER_NODE": "1", "PET_MASTER_ADDR": "127.0.0.1"}
    own |= {"PET_MASTER_PORT": str(free_port()), "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    return [
        subprocess.Popen(
            [sys.executable, "-c", POD, "--phase=main"],
            env={**os.environ, **own, "PET_NODE_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]


def test_the_processes_of_two_pods_are_one_group(tmp_path: Path) -> None:
    started = pods(tmp_path)
    said = [pod.communicate() for pod in started]
    assert [pod.returncode for pod in started] == [0, 0], said
    assert [out.strip() for out, _ in said] == [f"rank {rank} of 2: 3 --phase=main" for rank in "01"]


def test_a_pod_ends_as_its_process_ended(tmp_path: Path) -> None:
    """The other one, which waits, is deleted with the TrainJob."""
    lines = [
        "if rank == 0: import time; time.sleep(600)",
        "from nashflow.components.core.errors import UserError",
        "from nashflow.components.training.launchers.failure import hand_over",
        "hand_over(UserError('NaN in row 7'))",
        "os._exit(2)",
    ]
    waiting, ending = pods(tmp_path, "\n".join(lines))
    _, told = ending.communicate()
    assert (ending.returncode, told.strip().splitlines()[-1]) == (2, "NaN in row 7")
    waiting.terminate()
    assert waiting.wait() == 143
    waiting.communicate()
