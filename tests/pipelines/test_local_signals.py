"""Ends that nobody planned: Ctrl-C, SIGTERM, SIGKILL of the run, of the fork server; nothing is left running."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from kfp import compiler, dsl

LONG = 3000.0
"""Seconds that nobody waits for: a test that has to would run into its timeout."""

SLEEPER = """
import os, signal, subprocess, sys, time
from pathlib import Path

folder, name, manners = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def flush(number, frame):
    (folder / f"{name}.asked").touch()
    if manners == "polite":
        (folder / f"{name}.flushed").touch()
        sys.exit(143)

signal.signal(signal.SIGTERM, flush)
helper = subprocess.Popen(["sleep", "3000"])
(folder / f"{name}.started").write_text(f"{os.getpid()} {helper.pid} {os.getppid()}")
time.sleep(3000)
"""

DRIVER = """
import sys
from pathlib import Path
from nashflow.pipelines.local import Interrupted, StepFailed, execute, processes

folder, manners, processes.GRACE_SECONDS = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
sys.path.insert(0, str(folder))
try:
    parameters = {"folder": str(folder), "manners": manners}
    execute(folder / "pipeline.yaml", parameters, folder / "root", [], {}, lambda event: print(event, flush=True))
except (Interrupted, StepFailed) as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@dsl.container_component
def sleep(folder: str, name: int, manners: str):
    return dsl.ContainerSpec(image="toy", command=["python3", "-m", "sleeper"], args=[folder, name, manners])


@dsl.pipeline
def sleepers(folder: str, manners: str):
    with dsl.ParallelFor(items=[0, 1, 2]) as name:
        sleep(folder=folder, name=name, manners=manners).set_retry(3, backoff_duration=f"{LONG:.0f}s")


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a run of two sleeping steps at a time, in its own process group, and wait until both sleep."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    (tmp_path / "driver.py").write_text(DRIVER)
    compiler.Compiler().compile(sleepers, str(tmp_path / "pipeline.yaml"))
    drivers: list[subprocess.Popen[str]] = []

    def start_driver(manners: str = "polite", grace: float = LONG) -> subprocess.Popen[str]:
        command = [sys.executable, str(tmp_path / "driver.py"), str(tmp_path), manners, str(grace)]
        with (tmp_path / "events").open("w") as events:
            driver = subprocess.Popen(command, stdout=events, stderr=subprocess.PIPE, text=True, start_new_session=True)
        drivers.append(driver)
        wait_for(lambda: len(list(tmp_path.glob("*.started"))) == 2)
        return driver

    yield start_driver
    for driver in drivers:
        driver.kill()
    for pid in (pid for three in pids(tmp_path) for pid in three[:2] if psutil.pid_exists(pid)):
        os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    """Without a deadline but the test's own, which is what a busy machine needs."""
    while not condition():
        time.sleep(0.05)


def pids(folder: Path) -> list[list[int]]:
    """Step, the step's own child, fork server: for each step that has started."""
    wait_for(lambda: all(len(file.read_text().split()) == 3 for file in folder.glob("*.started")))
    return [[int(pid) for pid in file.read_text().split()] for file in folder.glob("*.started")]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def all_gone(folder: Path) -> bool:
    return all(gone(pid) for three in pids(folder) for pid in three)


@pytest.mark.parametrize(("number", "to_the_group"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_a_signal_lets_the_steps_flush(
    number: signal.Signals, to_the_group: bool, start: Start, tmp_path: Path
) -> None:
    driver = start()
    (os.killpg if to_the_group else os.kill)(driver.pid, number)
    _, stderr = driver.communicate()

    assert driver.returncode == 128 + number
    assert stderr == f"stopped by {number.name}\n"
    assert {file.name for file in tmp_path.glob("*.flushed")} == {"0.flushed", "1.flushed"}
    assert len(list(tmp_path.glob("*.started"))) == 2  # no third step, no retry
    wait_for(lambda: all_gone(tmp_path))


def test_a_step_that_will_not_end_is_killed_after_the_grace(start: Start, tmp_path: Path) -> None:
    driver = start("stubborn", grace=1.0)
    began = time.monotonic()
    driver.terminate()
    driver.communicate()

    assert driver.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - began > 1.0
    wait_for(lambda: all_gone(tmp_path))


def test_asking_twice_does_not_wait(start: Start, tmp_path: Path) -> None:
    driver = start("stubborn")
    driver.send_signal(signal.SIGINT)
    wait_for(lambda: len(list(tmp_path.glob("*.asked"))) == 2)
    assert driver.poll() is None
    driver.send_signal(signal.SIGINT)
    driver.communicate()
    wait_for(lambda: all_gone(tmp_path))


@pytest.mark.parametrize(("manners", "grace"), [("polite", LONG), ("stubborn", 1.0)])
def test_nothing_outlives_a_killed_run(manners: str, grace: float, start: Start, tmp_path: Path) -> None:
    driver = start(manners, grace)
    driver.kill()
    driver.wait()

    wait_for(lambda: all_gone(tmp_path))
    assert len(list(tmp_path.glob("*.flushed"))) == (2 if manners == "polite" else 0)


def test_nothing_outlives_the_fork_server(start: Start, tmp_path: Path) -> None:
    driver = start()
    server = pids(tmp_path)[0][2]
    os.kill(server, signal.SIGKILL)

    wait_for(lambda: all(gone(three[0]) for three in pids(tmp_path)))
    driver.terminate()
    driver.communicate()


def test_a_signal_does_not_wait_for_a_retry_s_delay(start: Start, tmp_path: Path) -> None:
    driver = start()
    for step, _, _ in pids(tmp_path):
        os.kill(step, signal.SIGKILL)
    wait_for(lambda: (tmp_path / "events").read_text().count("state='failed'") == 2)
    assert driver.poll() is None
    driver.terminate()
    driver.communicate()
    assert driver.returncode == 128 + signal.SIGTERM
