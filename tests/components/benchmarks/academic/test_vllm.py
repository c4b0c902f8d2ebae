"""Academic tasks in vLLM: the numbers are those of lm-eval called by hand, and nearly those of transformers."""

import contextlib
import functools
import json
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.benchmarks.academic.settings import Academic
from nashflow.components.benchmarks.base import Measured, Subject
from nashflow.components.models.dialogues import DEFAULT_TEMPLATE
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.models.policies import LocalPolicy
from nashflow.components.models.vllm_engine import opening
from nashflow.components.sampling.engines import Vllm
from nashflow.components.sampling.settings import GenerationSettings
from nashflow.components.storage.records import TASK_FIGURES
from tests.fixtures import models
from tests.fixtures.engines import NEEDS_VLLM
from tests.fixtures.tasks import write_tasks

pytestmark = NEEDS_VLLM

COLOURS = {"name": "colours", "metric": "acc,none", "shots": 2}
SUMS = {"name": "sums", "metric": "exact_match,none"}


def measured(policy: Path, data: Path, engine: str) -> Measured:
    subject = Subject(
        policy=LocalPolicy(policy, "digest", "digest"),
        rollout=GenerationSettings(engine=engine, batch_size=4),  # type: ignore[arg-type]
        template=DEFAULT_TEMPLATE,
        day="2026-01-02",
        load=load_causal_lm,
    )
    return Academic(data=str(data), tasks=(COLOURS, SUMS), chat_template=True).measure(subject)  # type: ignore[arg-type]


def by_hand(policy: Path, data: Path) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    with contextlib.chdir(data), opening(policy, Vllm(), "rollout.engine", "float32", 512, 4) as arguments:
        found = simple_evaluate(
            model="vllm",
            model_args={"pretrained": arguments.pop("model"), **arguments},
            tasks=["colours", "sums"],
            num_fewshot=2,
            apply_chat_template=True,
            task_manager=TaskManager(include_path=str(data)),
        )
    return dict(found or {})


def test_the_figures_are_those_of_lm_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = pytest.importorskip("lm_eval.tasks")
    monkeypatch.setattr(tasks, "TaskManager", functools.partial(tasks.TaskManager, include_defaults=False))
    (data := tmp_path / "data").mkdir()
    policy, data = models.llama(tmp_path / "policy"), write_tasks(data)
    rows = {
        engine: {
            (row["member"], row["metric"]): row["value"] for row in measured(policy, data, engine).records[TASK_FIGURES]
        }
        for engine in ("vllm", "transformers")
    }
    theirs = by_hand(policy, data)["results"]
    assert rows["vllm"] == {(member, metric): theirs[member][f"{metric},none"] for member, metric in rows["vllm"]}
    assert rows["vllm"] == rows["transformers"]


def test_answers_end_at_all_tokens_that_the_models_settings_name(tmp_path: Path) -> None:
    from lm_eval.api.instance import Instance

    policy = models.llama(tmp_path / "policy")
    settings = json.loads((policy / "generation_config.json").read_text())
    said = []
    for ends in ([1], [1, *range(40, 60)]):
        (policy / "generation_config.json").write_text(json.dumps({**settings, "eos_token_id": ends}))
        asked = [f"Write about {number}." for number in range(8)]
        how = {"until": [], "max_gen_toks": 40, "do_sample": False, "temperature": 0.0}
        requests = [Instance("generate_until", {}, (text, dict(how)), at) for at, text in enumerate(asked)]
        with Vllm().harness(policy, "float32", load_causal_lm, 8) as model:
            said.append(model.generate_until(requests, disable_tqdm=True))
    late, early = said
    assert all(long.startswith(short) for long, short in zip(late, early, strict=True))
    assert sum(map(len, early)) < sum(map(len, late)) / 2
