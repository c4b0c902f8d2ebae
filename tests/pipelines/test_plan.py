"""What a recipe would do, counted by hand and against what the methods say."""

import pytest

from nashflow.pipelines.plan import tasks_of, work_of
from nashflow.pipelines.recipe import load_recipe


def test_the_tasks_of_a_run_in_their_order() -> None:
    assert tasks_of(load_recipe("quickstart", ["run.iterations=2"])) == [
        "preparation",
        "0/evaluation",
        *(f"1/{step}" for step in ("main/rollout", "main/judging", "main/logprobs", "main/training", "evaluation")),
        *(f"2/{step}" for step in ("main/rollout", "main/judging", "main/logprobs", "main/training", "evaluation")),
        "reporting",
        "closing",
    ]


@pytest.mark.parametrize(("iterations", "shards"), [(1, 1), (3, 2), (10, 4)])
def test_shards_multiply_the_data_steps_alone(iterations: int, shards: int) -> None:
    tasks = tasks_of(load_recipe("quickstart", [f"run.iterations={iterations}", f"prompts.shards={shards}"]))
    assert len(tasks) == 4 + iterations * (3 * shards + 2)
    assert tasks.count(f"{iterations}/main/rollout") == tasks.count("1/main/logprobs") == shards
    assert tasks.count(f"{iterations}/main/training") == 1


def test_iid_pairs_take_one_comparison_for_two_responses() -> None:
    work = work_of(load_recipe("quickstart", ["prompts.per_iteration=100", "method.samples=6"]), 2)
    assert (work.iteration, work.trainings) == (2, 1)
    assert (work.responses, work.comparisons, work.pairs) == (600, 300, 300)


@pytest.mark.parametrize(("samples", "comparisons"), [(4, 5), (8, 11), (16, 23)])
def test_the_bracket_finds_best_and_worst_in_three_halves_k_less_one(samples: int, comparisons: int) -> None:
    """K/2 first-round matches, then K/2 - 1 among the winners and as many among the losers."""
    recipe = load_recipe("quickstart-tournament", ["prompts.per_iteration=100", f"method.samples={samples}"])
    work = work_of(recipe, 1)
    assert (work.responses, work.comparisons, work.pairs) == (100 * samples, 100 * comparisons, 100)


def test_both_sides_of_a_pair_are_scored_under_every_anchor() -> None:
    """INPO anchors at the reference and the current policy, which at t = 1 are one."""
    recipe = load_recipe("quickstart", ["prompts.per_iteration=10"])
    assert [work_of(recipe, iteration).scored for iteration in (1, 2, 3)] == [20, 40, 40]


def test_a_phase_is_described_by_what_it_regresses_on() -> None:
    (first,), (second,) = (work_of(load_recipe("quickstart"), iteration).phases for iteration in (1, 2))
    assert first == (
        "main: 2 of 000/main, iid; 000/main → 001/main by squared regression on 1 of 000/main, target 1 nats"
    )
    assert "001/main → 002/main by squared regression on 0.2 of 000/main + 0.8 of 001/main" in second
    (dpo,) = work_of(load_recipe("quickstart-iterative-dpo"), 2).phases
    assert dpo == (
        "main: 2 of 001/main, iid; 001/main → 002/main by logistic regression on 1 of 001/main, beta 0.5"
    )
