"""Kill anything at any time: the same command finishes, and the result is that of an undisturbed run."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.fixtures import cli

ONE = (*cli.SMALL, "run.iterations=1")


KILLING = Path(__file__).parents[1] / "fixtures/killing"
# A step, and the file that it is about to write when it is killed in the middle of its work.
MIDDLES = {
    "preparation": "run/iterations/000/prompts/held_out.manifest.json",
    "rollout": "run/iterations/001/main/rollouts/.*journal/.*/000000002.json",
    "judging": "run/iterations/001/main/pairs/.*journal/.*/000000002.json",
    "logprobs": "run/iterations/001/main/logprobs/.*journal/.*/000000002.json",
    "training": "run/iterations/001/main/training/.*/update-00000006/part-.*safetensors",
    "evaluation": "run/iterations/001/evaluation/game_policy/",
    "reporting": "run/report/figure.png",
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    cli.call("run", "quickstart", "--run-root", str(root), sets=ONE)
    return root


def _start(root: Path, **environment: str) -> subprocess.Popen[str]:
    """A run whose steps journal every micro-batch."""
    return subprocess.Popen(
        cli.command("run", "quickstart", "--run-root", str(root), sets=ONE),
        env=cli.environment(NASHFLOW_JOURNAL_SECONDS="0", **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.runs
def test_killed_in_every_step_in_turn_a_run_ends_as_an_undisturbed_one(tmp_path: Path, undisturbed: Path) -> None:
    root = tmp_path / "run"
    for step, file in MIDDLES.items():
        run = _start(root, PYTHONPATH=str(KILLING), KILLED_AT=file)
        _, errors = run.communicate()
        assert run.returncode == 128 + signal.SIGKILL, (step, errors)
        first = errors.splitlines()[0]
        assert (step in first, "killed by SIGKILL" in first) == (True, True), errors
        assert "the same command resumes it" in errors
    done = cli.call("run", "quickstart", "--run-root", str(root), sets=ONE)
    skipped = [line for line in done.stdout.splitlines() if "finished before" in line]
    assert len(skipped) == 6, done.stdout
    assert cli.records(root) == cli.records(undisturbed)
    assert cli.weights(root) == cli.weights(undisturbed)


@pytest.mark.runs
def test_a_whole_run_killed_leaves_nothing_running_and_goes_on_at_once(tmp_path: Path, undisturbed: Path) -> None:
    root = tmp_path / "run"
    cli.give_reference(undisturbed, root)
    run = _start(root)
    process = psutil.Process(run.pid)
    cli.wait_for(lambda: any(name.startswith("training") for name, _ in cli.steps(process)))
    children = process.children(recursive=True)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    psutil.wait_procs(children)
    # The dead run's lock does not have to expire first.
    cli.call("run", "quickstart", "--run-root", str(root), sets=ONE)
    assert cli.records(root) == cli.records(undisturbed)


def test_a_live_run_keeps_others_out(tmp_path: Path) -> None:
    root = tmp_path / "run"
    first = _start(root)
    try:
        cli.wait_for(lambda: any((root / "lock").glob("*.json")))
        second = cli.here("run", "quickstart", "--run-root", str(root), sets=ONE, check=False)
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 2
    assert second.stdout == ""
    (line,) = second.stderr.splitlines()
    assert str(root) in line
    assert "in use by the run" in line


@pytest.mark.runs
def test_terminated_a_run_says_so_and_goes_on_later(tmp_path: Path, undisturbed: Path) -> None:
    root = tmp_path / "run"
    cli.give_reference(undisturbed, root)
    run = _start(root)
    process = psutil.Process(run.pid)
    cli.wait_for(lambda: any(name.startswith("rollout") for name, _ in cli.steps(process)))
    run.terminate()
    _, errors = run.communicate()
    assert run.returncode == 128 + signal.SIGTERM
    assert errors.splitlines()[0] == "nashflow: stopped by SIGTERM; the same command resumes it"
    cli.call("run", "quickstart", "--run-root", str(root), sets=ONE)
    assert cli.records(root) == cli.records(undisturbed)
