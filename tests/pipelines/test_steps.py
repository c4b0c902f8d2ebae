"""The list of steps: what a step of one's own gets by one entry."""

from dataclasses import replace
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings
from nashflow.components.runtime.protocol import StepSettings
from nashflow.pipelines.cluster.runs.tasks import Place as TaskPlace
from nashflow.pipelines.cluster.runs.tasks import place_of
from nashflow.pipelines.compiled import read_graph
from nashflow.pipelines.costs import Assumptions, cost_of
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.lines import finished_line
from nashflow.pipelines.lint import check_graph, lint
from nashflow.pipelines.plan import planned_tasks
from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.resources import ONE_ACCELERATOR
from nashflow.pipelines.steps import STEPS, Step, task_name
from tests.fixtures.audit.settings import AuditStep
from tests.fixtures.graphs import Place, Task, unrolled

OWN = Step(
    name="audit",
    level="iteration",
    settings=AuditStep,
    resources=ONE_ACCELERATOR,
    runtime=lambda recipe: "vllm",
    reads={"candidate": ("policy",)},
    shown=("passed",),
    hours=lambda estimate: estimate.generating(estimate.answered),
    home="tests.fixtures",
)


@pytest.fixture(autouse=True)
def step_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more step in the list: each iteration's last one."""
    monkeypatch.setitem(STEPS, OWN.name, OWN)


def compiled(tmp_path: Path, *overrides: str) -> dict[Place, Task]:
    compile_graph(load_recipe("quickstart", ["run.iterations=2", *overrides]), tmp_path / "p.yaml")
    return unrolled(tmp_path / "p.yaml")


@pytest.mark.parametrize("shards", [1, 2])
def test_it_compiles_into_every_iteration_and_breaks_no_rule(shards: int, tmp_path: Path) -> None:
    tasks = compiled(tmp_path, f"prompts.shards={shards}")
    assert [place.iteration for place in tasks if place.step == "audit"] == [0, 1, 2]
    for iteration, policy in enumerate(
        ["preparation.reference", "training-001-main.policy", "training-002-main.policy"]
    ):
        task = tasks[Place("audit", iteration)]
        assert task.reads == {"candidate": policy, "scores": f"evaluation-{iteration:03d}.scores"}
        assert task.writes == {"decision": "system.Metrics"}
        assert Place("evaluation", iteration) in task.after
        assert (task.flags["retries"], task.flags["recipe"]) == (3, "<preparation.resolved>")
    assert Place("audit", 1) in tasks[Place("rollout", 2, "main", 0)].after
    assert lint(read_graph(tmp_path / "p.yaml")) == []
    assert check_graph(tmp_path / "p.yaml")["audit"] == 1


def test_its_pods_get_what_its_entry_and_the_recipe_say(tmp_path: Path) -> None:
    models, more = "cluster.models={claim: models}", "cluster.steps={audit: {memory: 24Gi}}"
    task = compiled(tmp_path, models, more, "cluster.profile=cpu")[Place("audit", 1)]
    assert (task.image, task.resources["resourceMemoryLimit"]) == ("<vllm_image>", "24Gi")
    assert task.placed["podMetadata"]["labels"] == {"nashflow/step": "audit"}
    assert task.placed["pvcMount"]
    with pytest.raises(UserError, match=r"cluster\.steps\.adit: unknown step; did you mean .*audit\?"):
        load_recipe("quickstart", ["cluster.steps={adit: {memory: 24Gi}}"])


def test_the_plan_counts_it_and_what_it_costs() -> None:
    recipe = load_recipe("inpo-llama3-8b")
    assert planned_tasks(recipe).count("audit-002") == 1
    assert planned_tasks(recipe)[-4:] == ["evaluation-003", "audit-003", "reporting", "closing"]
    hours = cost_of(recipe, 1, Assumptions(parameters=8e9)).hours
    assert list(hours)[-1] == "audit"
    assert 0 < hours["audit"] < hours["rollout"]


def test_its_line_shows_its_figures_and_its_tasks_are_known_by_their_name() -> None:
    record = {"step": "audit", "iteration": 2, "phase": "", "skipped": False, "seconds": 1.5}
    line = finished_line({**record, "metrics": {"passed": 1, "other": 2}})
    assert line.split() == ["iteration", "2", "audit", "1.5", "s", "passed", "1"]
    assert task_name("audit", 2) == "audit-002"
    assert place_of("audit-002") == TaskPlace("audit", 2)


class _Section(Settings):
    limit: int


class _Settings(StepSettings):
    audit: _Section


def test_a_section_that_it_misses_in_the_recipe_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STEPS, OWN.name, replace(OWN, settings=_Settings))
    with pytest.raises(UserError, match=r"^the step audit: audit: required, but missing$"):
        compiled(tmp_path)


def test_a_judged_shards_line_counts_abstentions_where_there_are_any() -> None:
    record = {"step": "judging", "iteration": 2, "phase": "main", "skipped": False, "seconds": 1.5}
    metrics = {"pairs": 4, "comparisons": 8, "abstentions": 0, "truncated": 0}
    assert finished_line({**record, "metrics": metrics}).endswith("1.5 s  pairs 4, comparisons 8")
    some = {**metrics, "abstentions": 3}
    assert finished_line({**record, "metrics": some}).endswith("1.5 s  pairs 4, comparisons 8, abstentions 3")
    used = {**metrics, "usage_tokens": 1200}
    assert finished_line({**record, "metrics": used}).endswith("1.5 s  pairs 4, comparisons 8, usage_tokens 1,200")


def test_headlines_of_benchmarks_stand_in_the_line_of_an_evaluation() -> None:
    metrics = {"alpaca_eval-200/win_rate/judge": 51.25, "alpaca_eval-200/answers": 200, "mine/win_rate": 1.0}
    record = {"step": "evaluation", "iteration": 1, "phase": "", "seconds": 2.0, "skipped": False, "metrics": metrics}
    assert finished_line(record).endswith("2.0 s  alpaca_eval-200/win_rate/judge 51.25")
