"""Kill anything at any time: the same command finishes, and the result is that of an undisturbed run."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.fixtures import cli

ONE = (*cli.SMALL, "run.iterations=1")


def _made(root: Path, pattern: str, count: int = 1) -> Callable[[], bool]:
    return lambda: len(list(root.glob(pattern))) >= count


# A step, and what shows that it is in the middle of its work.
MIDDLES: dict[str, Callable[[Path], Callable[[], bool]]] = {
    "preparation": lambda root: _made(root, "policies/000/main.manifest.json"),
    "rollout": lambda root: _made(root, "iterations/001/main/rollouts/*.journal/*/*.json", 2),
    "judging": lambda root: _made(root, "iterations/001/main/pairs/*.journal/*/*.json", 2),
    "logprobs": lambda root: _made(root, "iterations/001/main/logprobs/*.journal/*/*.json", 2),
    "training": lambda root: _made(root, "iterations/001/main/training/*/*/state.json"),
    "evaluation": lambda root: lambda: True,
    "reporting": lambda root: lambda: True,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    cli.call("run", "quickstart", "--run-root", str(root), sets=ONE)
    return root


def _start(root: Path) -> subprocess.Popen[str]:
    """A run whose steps journal every micro-batch."""
    return subprocess.Popen(
        cli.command("run", "quickstart", "--run-root", str(root), sets=ONE),
        env=cli.environment(NASHFLOW_JOURNAL_SECONDS="0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _kill_in_the_middle(run: subprocess.Popen[str], step: str, root: Path) -> None:
    """SIGKILL the step once it is in the middle of its work."""
    process = psutil.Process(run.pid)
    victim = cli.wait_for(lambda: next((child for name, child in cli.steps(process) if name.startswith(step)), None))
    middle = MIDDLES[step](root)
    cli.wait_for(lambda: middle() or not victim.is_running())
    victim.kill()


def test_killed_in_every_step_in_turn_a_run_ends_as_an_undisturbed_one(tmp_path: Path, undisturbed: Path) -> None:
    root = tmp_path / "run"
    for step in MIDDLES:
        run = _start(root)
        _kill_in_the_middle(run, step, root)
        _, errors = run.communicate(timeout=90)
        assert run.returncode == 128 + signal.SIGKILL, (step, errors)
        assert "killed by SIGKILL" in errors.splitlines()[0], (step, errors)
        assert "the same command goes on from here" in errors
    done = cli.call("run", "quickstart", "--run-root", str(root), sets=ONE)
    skipped = [line for line in done.stdout.splitlines() if "finished before" in line]
    assert len(skipped) == 6, done.stdout
    assert cli.records(root) == cli.records(undisturbed)
    assert cli.weights(root) == cli.weights(undisturbed)


def test_a_whole_run_killed_leaves_nothing_running_and_goes_on_at_once(tmp_path: Path, undisturbed: Path) -> None:
    root = tmp_path / "run"
    cli.give_reference(undisturbed, root)
    run = _start(root)
    process = psutil.Process(run.pid)
    cli.wait_for(lambda: any(name.startswith("training") for name, _ in cli.steps(process)))
    children = process.children(recursive=True)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate(timeout=30)
    assert not psutil.wait_procs(children, timeout=30)[1]
    # The dead run's lock does not have to expire first.
    cli.call("run", "quickstart", "--run-root", str(root), sets=ONE)
    assert cli.records(root) == cli.records(undisturbed)


def test_a_live_run_keeps_others_out(tmp_path: Path) -> None:
    root = tmp_path / "run"
    first = _start(root)
    try:
        cli.wait_for(lambda: any((root / "lock").glob("*.json")))
        second = cli.call("run", "quickstart", "--run-root", str(root), sets=ONE, check=False)
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 2
    assert second.stdout == ""
    (line,) = second.stderr.splitlines()
    assert str(root) in line
    assert "in use by the run" in line


def test_terminated_a_run_says_so_and_goes_on_later(tmp_path: Path, undisturbed: Path) -> None:
    root = tmp_path / "run"
    cli.give_reference(undisturbed, root)
    run = _start(root)
    process = psutil.Process(run.pid)
    cli.wait_for(lambda: any(name.startswith("rollout") for name, _ in cli.steps(process)))
    run.terminate()
    _, errors = run.communicate(timeout=40)
    assert run.returncode == 128 + signal.SIGTERM
    assert errors.splitlines()[0] == "nashflow: stopped by SIGTERM"
    cli.call("run", "quickstart", "--run-root", str(root), sets=ONE)
    assert cli.records(root) == cli.records(undisturbed)
