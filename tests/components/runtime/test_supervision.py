"""Retries inside the pod, from outside: a real parent over real children, their exit codes, signals and waits."""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from nashflow.components.storage.store import open_store
from nashflow.components.storage.units import read_manifest
from tests.fixtures.toy.processes import ROOT, UNIT, command, launch, rows, step, stopped_at_work

STEPS = ("preparation", "rollout", "judging", "logprobs", "training", "evaluation", "reporting", "closing")
HEAVY = (
    "numpy",
    "pyarrow",
    "pydantic",
    "yaml",
    "boto3",
    "botocore",
    "torch",
    "transformers",
    "mlflow",
    "kfp",
    "psutil",
)

CHILD = """
import os, sys, time
log, codes = sys.argv[1], [int(code) for code in sys.argv[2:]]
with open(log, "a") as file:
    file.write(f"{time.monotonic()}\\n")
code = codes[min(len(open(log).readlines()), len(codes)) - 1]
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""
"""A child whose attempts end with these exit codes, one after the other; below zero: by that signal."""


def parent(child: list[str], retries: int, first_wait: float = 0.01, before: str = "") -> subprocess.Popen[str]:
    """A parent over a child; `before`: Python code that is run first."""
    code = f"""
import sys
from nashflow.components.runtime import supervision
{before}
sys.exit(supervision.supervise({child!r}, {retries}, "toy", {first_wait}))
"""
    return launch([sys.executable, "-c", code])


def attempts(tmp_path: Path, codes: list[int], retries: int, **more: Any) -> tuple[int, list[float], list[str]]:
    """Exit code of the parent, when each attempt began, in seconds, and what it has said."""
    log = tmp_path / "log"
    child = [sys.executable, "-S", "-c", CHILD, str(log), *map(str, codes)]
    process = parent(child, retries, **more)
    _, err = process.communicate(timeout=60)
    return process.returncode, [float(line) for line in log.read_text().split()], err.splitlines()


# --- what is tried again, and how often ------------------------------------------------------------------------------

ENDINGS = [
    ([0], 3, 0, 1),
    ([2], 3, 2, 1),
    ([3], 3, 3, 1),
    ([1, 0], 3, 0, 2),
    ([75, 0], 3, 0, 2),
    ([143, 0], 3, 0, 2),
    ([-signal.SIGKILL, 0], 3, 0, 2),
    ([-signal.SIGTERM, 0], 3, 0, 2),
    ([1, 2], 3, 2, 2),
    ([1, 75, -signal.SIGKILL, 0], 3, 0, 4),
    ([1, 75, 4], 2, 4, 3),
    ([-signal.SIGKILL], 1, 137, 2),
    ([-signal.SIGSEGV], 1, 139, 2),
]


@pytest.mark.parametrize(("codes", "retries", "code", "count"), ENDINGS)
def test_what_is_tried_again_and_how_often(
    codes: list[int], retries: int, code: int, count: int, tmp_path: Path
) -> None:
    ended, began, said = attempts(tmp_path, codes, retries)
    assert (ended, len(began)) == (code, count)
    failed = [each if each >= 0 else 128 - each for each in codes[: count - 1]] + codes[-1:] * (count - len(codes))
    assert [re.sub("; again.*", "", line) for line in said] == [
        f"toy: attempt {number} of {retries + 1} ended with exit code {each if each >= 0 else 128 - each}"
        for number, each in enumerate(failed[: count - 1], 1)
    ]


def test_every_wait_is_twice_as_long_as_the_one_before(tmp_path: Path) -> None:
    _, began, said = attempts(tmp_path, [1], 4, first_wait=0.1)
    waits = [0.1, 0.2, 0.4, 0.8]
    assert [line.rpartition("; ")[2] for line in said] == [f"again in {wait:g} s" for wait in waits]
    apart = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert all(measured >= wait for measured, wait in zip(apart, waits, strict=True))


def test_no_wait_is_longer_than_ten_minutes(tmp_path: Path) -> None:
    before = "supervision._Child.sleep = lambda self, seconds: None"
    _, _, said = attempts(tmp_path, [1], 9, first_wait=10.0, before=before)
    waits = [10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert [line.rpartition("; ")[2] for line in said] == [f"again in {wait} s" for wait in waits]


# --- signals ---------------------------------------------------------------------------------------------------------

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(300)"]
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_child_works_is_handed_through_and_ends_it(number: int, tmp_path: Path) -> None:
    """The journal is flushed, there is no further attempt, and a later one goes on from there."""
    root = str(tmp_path / "run")
    process = stopped_at_work(root, tmp_path / "ready", "--retries", "3")
    (child,) = psutil.Process(process.pid).children()
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert process.returncode == 128 + number
    assert (out, "attempt" in err) == ("", False)
    assert not child.is_running()
    assert read_manifest(open_store(root), UNIT) is None
    code, out, _ = step(root, {})
    assert (code, '"resumed": 3' in out, len(rows(root))) == (0, True, 4)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_it_waits_ends_it_with_the_last_attempts_code(number: int) -> None:
    process = parent([sys.executable, "-S", "-c", "raise SystemExit(75)"], 3, first_wait=300)
    assert process.stderr is not None
    assert process.stderr.readline() == "toy: attempt 1 of 4 ended with exit code 75; again in 300 s\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (75, "")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_signal_while_the_child_is_being_started_ends_it_as_well(number: int, when: str) -> None:
    """The parent knows its child only when `Popen` has returned: before that there is nobody to hand the signal to."""
    steps = [f"os.kill(os.getpid(), {int(number)})", "process = start(command)"]
    first, second = steps if when == "before" else reversed(steps)
    before = f"""
import os, subprocess
start = subprocess.Popen
def started(command):
    {first}
    {second}
    return process
supervision.subprocess.Popen = started
"""
    process = parent(SLEEPER, 3, before=before)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (143, "")


# --- the entry of every step -----------------------------------------------------------------------------------------


def test_retries_as_kfp_writes_them_locally(tmp_path: Path) -> None:
    process = launch(command(str(tmp_path / "run"), {"trouble": "crash"}, "--retries", "3.0"))
    assert process.stderr is not None
    said = ""
    while not said.startswith("toy: "):
        said = process.stderr.readline()
        assert said, process.wait()
    assert said == "toy: attempt 1 of 4 ended with exit code 1; again in 30 s\n"
    process.terminate()
    assert process.wait(timeout=20) == 1
    process.communicate()


@pytest.mark.parametrize("retries", ["0", "0.0", "-1"])
def test_without_retries_the_process_does_the_work_itself(retries: str, tmp_path: Path) -> None:
    process = stopped_at_work(str(tmp_path / "run"), tmp_path / "ready", "--retries", retries)
    assert psutil.Process(process.pid).children() == []
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_the_environment_overrules_the_flag(tmp_path: Path) -> None:
    code, out, err = step(str(tmp_path / "run"), {"trouble": "crash"}, "--retries", "3", NASHFLOW_RETRIES="0")
    assert (code, out, "attempt" in err) == (1, "", False)


@pytest.mark.parametrize(("flag", "variable"), [("three", ""), ("nan", ""), ("inf", ""), ("", ""), ("3", "none")])
def test_what_is_no_number_of_retries_is_refused_by_one_line(flag: str, variable: str, tmp_path: Path) -> None:
    code, out, err = step(str(tmp_path / "run"), {}, "--retries", flag, NASHFLOW_RETRIES=variable)
    said = f"--retries, or NASHFLOW_RETRIES in the environment: {(variable or flag)!r} is no number of attempts\n"
    assert (code, out, err) == (2, "", said)


def test_a_mistake_of_the_user_is_said_once_although_there_are_retries(tmp_path: Path) -> None:
    code, out, err = step(str(tmp_path / "run"), {"trouble": "user"}, "--retries", "3")
    assert (code, out, err) == (2, "", "toy: prompts.jsonl: line 3 lacks the prompt: set prompts.field\n")


def test_a_full_disk_that_empties_meanwhile_is_a_success_at_a_later_attempt(tmp_path: Path) -> None:
    root, full = str(tmp_path / "run"), tmp_path / "full"
    full.touch()
    environment = f"import os; os.environ['TOY_FULL_WHILE'] = {str(full)!r}"
    process = parent(command(root, {"trouble": "full"}), 8, first_wait=0.5, before=environment)
    assert process.stderr is not None
    first = "toy: no space left on the device ([Errno 28] No space left on device); free some and run the same command "
    assert process.stderr.readline() == f"{first}again\n"
    assert process.stderr.readline() == "toy: attempt 1 of 9 ended with exit code 75; again in 0.5 s\n"
    full.unlink()
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out.count("\n"), len(rows(root))) == (0, 1, 4)


# --- the parent is small ---------------------------------------------------------------------------------------------


def test_the_parent_takes_little_memory(tmp_path: Path) -> None:
    process = stopped_at_work(str(tmp_path / "run"), tmp_path / "ready", "--retries", "3")
    megabytes = psutil.Process(process.pid).memory_info().rss / 2**20
    process.terminate()
    process.communicate(timeout=60)
    assert megabytes < 30


def test_no_steps_entry_imports_anything_heavy() -> None:
    modules = [f"nashflow.components.{name}.__main__" for name in STEPS]
    code = (
        "import importlib, sys\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        f"print(*sorted(set({HEAVY}) & set(sys.modules)), 'nashflow.components.runtime.protocol' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=os.sep, check=True)
    assert done.stdout.split() == ["False"]
    assert all((ROOT / "components" / name / "__main__.py").is_file() for name in STEPS)
