"""`nashflow drift` on runs that are there: figures recomputed from their records, and a judge that has changed."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.sandbox.settings import SandboxOracle
from nashflow.components.storage import outcome
from nashflow.pipelines.drift.answers import answers_of, win_rate
from nashflow.pipelines.drift.found import find
from nashflow.pipelines.drift.judge import ask, probes_of
from nashflow.pipelines.drift.report import drift
from tests.fixtures import cli
from tests.fixtures.runs import SandboxRun

DAY = 24 * 3600.0


def ended(run: SandboxRun, word: Any, days: float, reason: str = "") -> None:
    outcome.write(run.store, word, reason, "")
    key = "report/outcome.json"
    run.store.write(key, json.dumps(json.loads(run.store.read(key)) | {"ended": 1.8e9 + days * DAY}).encode())


@pytest.fixture
def runs(finished: SandboxRun, tmp_path: Path) -> str:
    """A run that succeeded, its twin a month later, one that was skipped, one that failed, and one of another name."""
    for name, word, days in (("a", "succeeded", 0), ("b", "succeeded", 30), ("c", "skipped", 60), ("d", "failed", 90)):
        run = finished.copied(str(tmp_path / "runs" / name))
        ended(run, word, days, "too few new prompts" if word == "skipped" else "")
        os.utime(run.root)
    other = finished.copied(str(tmp_path / "runs" / "other"))
    data = json.loads(other.store.read("run.json"))
    other.store.write("run.json", json.dumps(data | {"name": "another"}).encode())
    ended(other, "succeeded", 10)
    return str(tmp_path / "runs")


def test_the_runs_of_a_name_in_their_order_with_what_became_of_them(runs: str) -> None:
    found = drift("small", runs)
    assert [row.fired.store.uri.rpartition("/")[2] for row in found.rows] == ["a", "b", "c", "d"]
    assert [row.fired.ended.outcome for row in found.rows] == ["succeeded", "succeeded", "skipped", "failed"]
    assert (found.champion.store.uri, found.promoted) == (f"{runs}/a", False)
    assert [row.win_rate is not None for row in found.rows] == [False, True, False, False]
    assert found.rows[1].prompts
    assert found.rows[1].prompts.p_value > 0.01, "the same prompts"
    assert found.rows[1].prompts.divergence == pytest.approx(0.0, abs=1e-12)


def test_the_win_rate_is_that_of_the_records(runs: str, finished: SandboxRun) -> None:
    one, other, *_ = find("small", runs)
    oracle = SandboxOracle().load()
    found = win_rate(oracle, answers_of(one), answers_of(other))
    assert found
    by_prompt: dict[str, list[float]] = {}
    for (prompt, mine), theirs in zip(answers_of(other).items(), answers_of(one).values(), strict=True):
        for (messages, our), (_, their) in zip(mine, theirs, strict=True):
            (verdict,) = oracle.compare([_query(messages, our["text"], their["text"])])
            by_prompt.setdefault(prompt, []).append(verdict.probability)
    assert found.value == pytest.approx(np.mean([np.mean(each) for each in by_prompt.values()]), abs=1e-12)
    assert found.prompts == len(by_prompt)
    assert found.value == pytest.approx(0.5), "the twin has the same answers"


def _query(messages: Any, first: str, second: str) -> Any:
    from nashflow.components.oracles.base import Query

    return Query(messages, first, second)


def test_a_judge_that_is_the_same_has_not_moved_and_another_has(runs: str) -> None:
    first, *_ = find("small", runs)
    probes = probes_of(first)
    assert probes
    same, other = (ask(oracle.load(), oracle.signature, probes) for oracle in (SandboxOracle(), _other_world()))
    assert same
    assert (same.changed, same.moved) == (0.0, 0.0)
    assert other
    assert other.changed_low > 0
    assert other.moved > 0.05


def _other_world() -> SandboxOracle:
    return SandboxOracle.parse({"kind": "sandbox", "world": {"seed": 3}}, "test")


def test_what_the_judge_said_on_other_days_is_kept(runs: str) -> None:
    drift("small", runs)
    (kept,) = list(Path(runs, "cache/drift/small").iterdir())
    before = json.loads(kept.read_text()) | {"day": "2020-01-01", "changed": 0.25}
    kept.with_name(f"2020-01-01-{before['oracle']}.json").write_text(json.dumps(before))
    assert [each.changed for each in drift("small", runs).judge] == [0.25, 0.0]


def test_the_command_writes_a_page_and_json(runs: str, tmp_path: Path) -> None:
    output = tmp_path / "page"
    done = cli.here("drift", "small", "--under", runs, "--output", str(output))
    assert "c: skipped: too few new prompts." in done.stdout
    page = (output / "drift.html").read_text()
    assert 'src="data:image/png;base64,' in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    record = json.loads((output / "drift.json").read_text())
    assert json.loads(cli.here("drift", "small", "--under", runs, "--json").stdout) == record
    assert [run["outcome"] for run in record["runs"]] == ["succeeded", "succeeded", "skipped", "failed"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smal", "no run named smal has ended here; did you mean small?"),
        ("models:/x", "MLFLOW_TRACKING_URI"),
    ],
)
def test_what_is_not_there_is_named(name: str, said: str, runs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        drift(name, runs)


def test_runs_of_which_none_succeeded_have_nothing_to_compare(runs: str, prepared: SandboxRun, tmp_path: Path) -> None:
    run = prepared.copied(str(tmp_path / "failed" / "x"))
    ended(run, "failed", 0)
    with pytest.raises(UserError, match="none of its 1 runs has succeeded"):
        drift("small", str(tmp_path / "failed"))
