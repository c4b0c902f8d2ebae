"""A run on a real S3 server, killed again and again while the server stops and goes on: the result is the same."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.fixtures import cli
from tests.fixtures.seaweedfs import SeaweedFS

SHARDS = (*cli.SMALL, "run.iterations=1", "prompts.shards=2")
KILLED_IN = ("rollout", "judging", "logprobs", "training", "evaluation")


def start(root: str, tracking: Path) -> subprocess.Popen[str]:
    """A run whose steps journal every micro-batch."""
    journalled = cli.environment(NASHFLOW_JOURNAL_SECONDS="0", MLFLOW_TRACKING_URI=f"sqlite:///{tracking}")
    command = cli.command("run", "quickstart", "--run-root", root, sets=SHARDS)
    return subprocess.Popen(command, env=journalled, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.runs
def test_killed_in_every_step_while_the_server_stutters(
    tmp_path: Path, seaweedfs_server: SeaweedFS, seaweedfs_prefix: str
) -> None:
    undisturbed, root = tmp_path / "undisturbed", f"{seaweedfs_prefix}/run"
    cli.call("run", "quickstart", "--run-root", str(undisturbed), sets=SHARDS)
    for step in KILLED_IN:
        run = start(root, tmp_path / "mlflow.db")
        process = psutil.Process(run.pid)
        cli.wait_for(lambda process=process, step=step: any(name.startswith(step) for name, _ in cli.steps(process)))
        os.kill(seaweedfs_server.pid, signal.SIGSTOP)
        children = process.children(recursive=True)
        os.kill(run.pid, signal.SIGKILL)
        os.kill(seaweedfs_server.pid, signal.SIGCONT)
        run.communicate()
        psutil.wait_procs(children)
    _, errors = (last := start(root, tmp_path / "mlflow.db")).communicate()
    assert last.returncode == 0, errors
    assert cli.records(root) == cli.records(undisturbed)
