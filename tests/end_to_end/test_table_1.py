"""The evaluation of the paper's table 1, as `inpo-llama3-8b-table-1` has it, on small policies here."""

import functools
import json
import os
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import yaml

from nashflow.components.benchmarks.academic.settings import METRICS
from nashflow.pipelines.recipe import load_recipe
from tests.fixtures import models
from tests.fixtures.academic_data import write_data
from tests.fixtures.cli import here
from tests.fixtures.judge_server import serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
JUDGED = {"alpaca_eval": "alpaca_eval", "arena_hard": "arena_hard_v0.1", "mt_bench": "mt_bench"}
"""The folder of each one's files."""


def judge(body: Mapping[str, Any]) -> str | dict[str, Any]:
    """One that answers in each benchmark's form: the second of two answers is better, and every grade is 7."""
    if body["max_tokens"] > 1:
        return "[[B>A]]" if "Assistant B" in body["messages"][-1]["content"] else "Rating: [[7]]"
    likely = [{"token": "m", "logprob": -1.5}, {"token": "M", "logprob": -0.3}]
    content = [{"token": "M", "logprob": -0.3, "top_logprobs": likely}]
    return {"message": {"role": "assistant", "content": "M"}, "logprobs": {"content": content}}


def test_the_recipe_measures_by_the_benchmarks_own_rules() -> None:
    """So what `nashflow benchmark run` measures by itself is what the recipe measures."""
    benchmarks = load_recipe("inpo-llama3-8b-table-1").evaluation.benchmarks
    assert [each.kind for each in benchmarks] == ["head_to_head", "kl", *JUDGED, "academic"]
    for each in benchmarks[2:]:
        said = each.model_dump(exclude={"data", "judge"})
        assert said == {**type(each)(every="final").model_dump(exclude={"data", "judge"})}


@pytest.mark.skipif("NASHFLOW_DATA" not in os.environ, reason="NASHFLOW_DATA is not set")
@pytest.mark.skipif("NASHFLOW_MODELS" not in os.environ, reason="NASHFLOW_MODELS is not set")
@pytest.mark.parametrize("name", JUDGED)
def test_a_small_policy_is_judged(name: str, tmp_path: Path) -> None:
    data, model = (Path(os.environ[key]) for key in ("NASHFLOW_DATA", "NASHFLOW_MODELS"))
    with serving(judge) as server:
        settings = {"kind": "llm_judge", "model": "judge", "endpoint": {"url": server.url}}
        (tmp_path / "judge.yaml").write_text(yaml.safe_dump(settings))
        done = here(
            *("benchmark", "run", name, "--model", str(model / "tiny-llama-7m-chat"), "--json", "--questions", "4"),
            *(
                "--data",
                str(data / JUDGED[name]),
                "--judge",
                str(tmp_path / "judge.yaml"),
                "-o",
                str(tmp_path / "made"),
            ),
            sets=("benchmark.max_new_tokens=8",),
        )
    figures = json.loads(done.stdout)["figures"]
    assert figures[f"{name}-4/answers"] == 4
    assert figures[f"{name}-4/judgments/judge"] == {"alpaca_eval": 4, "arena_hard": 8, "mt_bench": 8}[name]
    assert figures[f"{name}-4/no_verdict/judge"] == 0
    score = figures[f"{name}-4/{'win_rate' if name == 'alpaca_eval' else 'score'}/judge"]
    assert score == {"arena_hard": 50.0, "mt_bench": 7.0}.get(name, score)
    assert 0 < score < 100
    page = (tmp_path / "made/report.html").read_text()
    assert name == "alpaca_eval" or "INPO, preference model" in page


def test_all_six_academic_tasks_are_those_of_lm_eval(tmp_path: Path) -> None:
    """Of a tiny model with room for IFEval's answers, by the command and by hand."""
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.tasks import TaskManager

    data, policy = write_data(tmp_path / "data"), models.llama(tmp_path / "policy")
    config = json.loads((policy / "config.json").read_text())
    (policy / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    made = ("benchmark", "run", "academic", "--model", str(policy), "--data", str(data), "-o", str(tmp_path / "made"))
    done = here(*made, "--json", sets=("rollout.batch_size=8",))
    figures = json.loads(done.stdout)["figures"]
    manager = TaskManager(include_path=str(data))
    call = functools.partial(
        lm_eval.simple_evaluate,
        model="hf",
        model_args={"pretrained": str(policy), "dtype": "float32"},
        device="cpu",
        batch_size=8,
        task_manager=manager,
    )
    for name, metric in METRICS.items():
        with chdir(data):
            theirs = call(tasks=[name])["results"][name][metric]
        assert figures[f"academic/{name}"] == 100 * theirs, name
    assert figures["academic/cut"] == 0
    assert figures["academic/mean"] == pytest.approx(sum(figures[f"academic/{name}"] for name in METRICS) / 6)
    again = here(*made, "--json", sets=("rollout.batch_size=8",))
    assert json.loads(again.stdout)["figures"] == figures
