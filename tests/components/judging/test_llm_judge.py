"""The judging step with a judge behind a server that fails, goes away, or has used up what it may."""

import os
import subprocess
import sys
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.judging import step as judging
from nashflow.components.judging.settings import JudgingStep
from nashflow.components.oracles.llm_judge import client
from nashflow.components.runtime.protocol import TRY_AGAIN, Call
from nashflow.components.storage import recipes
from tests.fixtures.judge_server import INPUT, OUTPUT, JudgeServer, alphabetical, serving
from tests.fixtures.runs import SandboxRun

FAULTS = (
    "",
    "",
    "",
    "",
    "429",
    "",
    "",
    "",
    "",
    "500",
    "",
    "",
    "",
    "",
    "cut",
    "",
    "",
    "",
    "",
    "prose",
    *[""] * 9,
    "late",
)
"""One call in five fails, or nearly so."""


def recipe(run: SandboxRun, server: JudgeServer, **endpoint: Any) -> dict[str, Any]:
    settings = {"url": server.url, "attempts": 9, "prices": {"input": 2.0, "output": 10.0}, **endpoint}
    return run.recipe.model_dump(mode="json") | {
        "oracle": {"kind": "llm_judge", "model": "judge", "endpoint": settings}
    }


def judged(run: SandboxRun, server: JudgeServer, **endpoint: Any) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """The step's figures and its comparisons."""
    settings = JudgingStep.parse(recipe(run, server, **endpoint), "test")
    result = judging.run(Call(run.store, 1, "main", 0, settings))
    assert result.manifest
    return dict(result.manifest.metrics), run.content("comparisons", 1)


def better(run: SandboxRun, row: dict[str, Any]) -> float:
    """The verdict of `alphabetical`."""
    texts = {each["sample"]: each["text"] for each in run.content("rollouts", 1) if each["row_id"] == row["row_id"]}
    first, second = texts[row["first"]], texts[row["second"]]
    return 0.5 if first == second else float(first < second)


def test_a_shard_ends_complete_whatever_one_call_in_five_does(run: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "as_asked", lambda most: lambda state: 0.0)
    with serving(faults=FAULTS) as server:
        metrics, rows = judged(run, server, timeout=1.0)
    assert len(rows) == 96
    assert min(server.happened[fault] for fault in ("429", "500", "cut", "prose", "late")) > 0
    # No verdict is lost, and none counts twice, though a server that is slow may have to answer one again.
    assert metrics["usage_calls"] == len(server.answered) == 2 * len({_asked(run, row) for row in rows} - {None})
    assert metrics["usage_cost"] == pytest.approx(len(server.answered) * (2 * INPUT + 10 * OUTPUT) / 1e6)
    assert metrics["usage_unparsed"] >= server.happened["prose"]  # once for each time the pair is met
    assert metrics["abstentions"] == sum(row["abstained"] for row in rows if not row["repeated"])
    assert all(row["probability"] == better(run, row) for row in rows if not row["abstained"])


def _asked(run: SandboxRun, row: dict[str, Any]) -> tuple[Any, ...] | None:
    """What makes a row's request one with another's."""
    prompts = {each["row_id"]: each["messages"] for each in run.content("prompts", 1)}
    texts = {each["sample"]: each["text"] for each in run.content("rollouts", 1) if each["row_id"] == row["row_id"]}
    pair = sorted((texts[row["first"]], texts[row["second"]]))
    return None if pair[0] == pair[1] else (str(prompts[row["row_id"]]), *pair)


def test_a_step_whose_server_goes_away_may_be_retried_and_asks_for_what_is_missing(run: SandboxRun) -> None:
    def mortal(body: Any) -> str:
        if server.calls > 40:
            server.faults = ("500",)
        return alphabetical(body)

    def step(server: JudgeServer) -> subprocess.CompletedProcess[str]:
        location = recipes.write(run.store, recipe(run, server, attempts=2, concurrency=4))
        command = [sys.executable, "-m", "nashflow.components.judging", "--recipe", location]
        command += ["--iteration", "1", "--phase", "main"]
        environment = {**os.environ, "NASHFLOW_JOURNAL_SECONDS": "0"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    with serving(mortal) as server:
        ended = step(server)
        assert ended.returncode == TRY_AGAIN
        assert ended.stderr.splitlines()[-1].startswith(f"judging: oracle.endpoint.url {server.url}: no answer in 2")
        assert "Traceback" not in ended.stderr
        before = dict(server.answered)
    with serving() as server:  # at another address
        assert step(server).returncode == 0
        assert not before.keys() & server.answered.keys()
        assert set(server.answered.values()) == {1}
        answers = len(before) + len(server.answered)
    metrics, rows = run.manifest("001/main/pairs/00000").metrics, run.content("comparisons", 1)
    assert [row["probability"] for row in rows] == [better(run, row) for row in rows]
    assert metrics["usage_calls"] == answers
    assert metrics["usage_cost"] == pytest.approx(answers * (2 * INPUT + 10 * OUTPUT) / 1e6)


def test_a_spent_budget_is_raised_without_judging_anything_anew(run: SandboxRun) -> None:
    with serving() as server:
        with pytest.raises(UserError, match=r"oracle\.endpoint\.budget\.tokens is spent"):
            judged(run, server, budget={"tokens": 20 * (INPUT + OUTPUT)}, concurrency=1)
        assert server.calls == 20
        metrics, rows = judged(run, server, budget={"tokens": 10**6})
        calls = server.calls
        assert set(server.answered.values()) == {1}
        assert metrics["usage_calls"] == len(server.answered)
        assert metrics["usage_input_tokens"] == len(server.answered) * INPUT
        judged(run, server, budget={"tokens": 10**7}, timeout=10)  # it is finished
        assert server.calls == calls
    assert [row["probability"] for row in rows] == [better(run, row) for row in rows]
