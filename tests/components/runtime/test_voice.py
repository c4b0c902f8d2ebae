"""What a step says while it works, told from outside: a real process that works on long, and its stderr."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.storage import recipes
from tests.fixtures.runs import SandboxRun
from tests.fixtures.toy import processes as toy

OFTEN = {"NASHFLOW_LOG_SECONDS": "0.05"}
ON_CLUSTER = {"run": {"seed": 7}, "toy": {}, "cluster": {"log_format": "json"}}


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[Any]:
    """A toy step that has done three of its four rows, in an environment; it is killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(recipe: Any = None, **environment: str) -> subprocess.Popen[str]:
        ready = {"TOY_STOP_AFTER": "3", "TOY_READY": str(tmp_path / "ready")}
        settings = json.dumps(recipe) if recipe else {}
        process = toy.launch(toy.command(str(tmp_path / "run"), settings), **OFTEN, **ready, **environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """The first line on stderr that has these words."""
    assert process.stderr
    return next(line.rstrip("\n") for line in process.stderr if words in line)


def test_lines_go_on_while_a_batch_takes_long(at_work: Any) -> None:
    process = at_work()
    for _ in range(3):
        line = line_with(process, "3 of 4 rows")
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d toy, iteration 2, shard 1, main: "
            r"3 of 4 rows \(75 %\), [\d.,]+/s, \d+ s left, loss 0\.333, [\d.,]+ tokens/s",
            line,
        )


def test_json_says_the_same_for_programs(at_work: Any) -> None:
    said = json.loads(line_with(at_work(NASHFLOW_LOG_FORMAT="json"), "3 of 4 rows"))
    assert said["message"].startswith("3 of 4 rows (75 %), ")
    assert {key: said[key] for key in ("level", "step", "iteration", "phase", "shard")} == {
        "level": "info",
        "step": "toy",
        "iteration": 2,
        "phase": "main",
        "shard": 1,
    }
    (work,) = said["work"]
    assert (work["unit"], work["done"], work["total"]) == ("rows", 3, 4)
    assert work["figures"] == {"loss": pytest.approx(1 / 3)}
    assert work["rates"]["tokens"] == pytest.approx(7 * work["rates"]["rows"], rel=0.01)
    assert work["left"] >= 0


def test_a_pod_goes_by_its_recipe_and_the_environment_before(at_work: Any) -> None:
    assert line_with(at_work(ON_CLUSTER), "3 of 4 rows").startswith("{")


def test_the_environment_goes_before_the_recipe(at_work: Any) -> None:
    assert line_with(at_work(ON_CLUSTER, NASHFLOW_LOG_FORMAT="text"), "3 of 4 rows").startswith("20")


def test_preparation_leaves_the_format_where_steps_find_it(prepared: SandboxRun) -> None:
    run = prepared.changed(cluster={"log_format": "json"})
    resolved = run.step("preparation").parameters["resolved"]
    _, recipe = recipes.read(resolved)
    assert recipe["cluster"]["log_format"] == "json"


def test_a_file_says_how_it_gets_on_just_now(at_work: Any, tmp_path: Path) -> None:
    at_work(NASHFLOW_STATUS=str(tmp_path / "status"))
    status: dict[str, Any] = {}
    while status.get("done") != 3 or not status["lines"]:
        time.sleep(0.01)
        if (tmp_path / "status").exists():
            status = json.loads((tmp_path / "status").read_text())
    assert (status["unit"], status["total"]) == ("rows", 4)
    assert re.fullmatch(r"[\d.,]+/s, \d+ s left, loss 0\.333, [\d.,]+ tokens/s", status["words"])
    assert " toy, iteration 2, " in status["line"]


def test_a_step_that_is_quick_says_nothing(tmp_path: Path) -> None:
    code, _, err = toy.step(str(tmp_path), {}, NASHFLOW_LOG_SECONDS="600")
    assert (code, err) == (0, "")


def test_the_last_line_is_the_complaint(tmp_path: Path) -> None:
    code, _, err = toy.step(str(tmp_path), {"trouble": "user"}, NASHFLOW_LOG_SECONDS="0.001")
    assert code == 2
    assert err.splitlines()[-1] == "toy: prompts.jsonl: line 3 lacks the prompt: set prompts.field"


def test_an_unknown_format_is_one_line(tmp_path: Path) -> None:
    code, _, err = toy.step(str(tmp_path), {}, NASHFLOW_LOG_FORMAT="xml")
    assert (code, err) == (2, "toy: NASHFLOW_LOG_FORMAT: 'xml' is unknown; known here: json, text\n")
