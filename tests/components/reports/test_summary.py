import json
import math
from pathlib import Path
from typing import Any, Literal

import pytest

from nashflow.components.benchmarks.game import ExactGame
from nashflow.components.benchmarks.head_to_head import HeadToHead
from nashflow.components.benchmarks.kl import MonteCarloKL
from nashflow.components.core.errors import UserError
from nashflow.components.iterations.units import Shape
from nashflow.components.methods.base import PairedMethod
from nashflow.components.methods.phases import REFERENCE, Phase, PolicyRef, Sampling
from nashflow.components.reports.summary import summarise
from nashflow.components.storage import layout
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import Unit, require_manifest
from tests.components.reports.toy_runs import (
    GAME,
    SECONDS,
    WON,
    data,
    evaluations,
    forget_evaluation,
    policy,
    toy_run,
)


def summary_of(store: Store, last: int) -> dict[str, Any]:
    return summarise(store, require_run(store), last)


def forget(store: Store, *units: str) -> None:
    for unit in units:
        store.delete(f"{unit}.manifest.json")


def test_the_summary_of_a_sandbox_run_of_two_shards_is_exactly_this(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(2, WON, GAME), shards=2)
    assert summary_of(store, 1) == {
        "run": "toy",
        "method": "inpo",
        "seed": 7,
        "prompts": None,
        "sampling": "",
        "headlines": [],
        "judges": [],
        "policies": [{"index": 0, "digest": "0main"}, {"index": 1, "digest": "1main"}],
        "iterations": [
            {
                "iteration": 0,
                "win_rate": 0.5,
                "win_rate_low": 0.47,
                "win_rate_high": 0.53,
                "evaluated_prompts": None,
                "abstentions": None,
                "truncated": None,
                "win_rate_exact": None,
                "mass_outside": None,
                "duality_gap": 0.11,
                "duality_gap_own": None,
                "duality_gap_unregularised": 0.2,
                "duality_gap_exact": 0.11,
                "kl": 0.0,
                "kl_error": None,
                "kl_k3": None,
                "kl_k3_error": None,
                "mean_length": 2.0,
                "pairs": None,
                "comparisons": None,
                "oracle_calls": None,
                "judging_abstentions": None,
                "judging_truncated": None,
                "sampled_identical": None,
                "sampled_empty": None,
                "sampled_cut": None,
                "dropped": {},
                "judging_position_share": None,
                "judging_length_preference": None,
                "judging_abstention_share": None,
                "usage": {},
                "seconds": {"evaluation": 2.0},
                "duality_gap_average": None,
            },
            {
                "iteration": 1,
                "win_rate": 0.54,
                "win_rate_low": 0.51,
                "win_rate_high": 0.57,
                "evaluated_prompts": None,
                "abstentions": None,
                "truncated": None,
                "win_rate_exact": None,
                "mass_outside": None,
                "duality_gap": 0.08,
                "duality_gap_own": None,
                "duality_gap_unregularised": 0.19,
                "duality_gap_exact": 0.075,
                "kl": 0.02,
                "kl_error": None,
                "kl_k3": None,
                "kl_k3_error": None,
                "mean_length": 3.0,
                "pairs": 11 + 12,
                "comparisons": 22 + 24,
                "oracle_calls": 33 + 36,
                "judging_abstentions": 0 + 1,
                "judging_truncated": 0,
                "sampled_identical": None,
                "sampled_empty": None,
                "sampled_cut": None,
                "dropped": {},
                "judging_position_share": None,
                "judging_length_preference": None,
                "judging_abstention_share": 1 / 69,
                "usage": {},
                "seconds": {"rollout": 3.0, "judging": 0.5, "logprobs": 1.0, "training": 4.0, "evaluation": 2.0},
                "duality_gap_average": None,
            },
        ],
    }


def test_a_text_run_has_no_game_figures(tmp_path: Path) -> None:
    rows = summary_of(toy_run(tmp_path, evaluations(2, WON)), 1)["iterations"]
    for row in rows:
        assert {row[figure.name] for figure in ExactGame.figures if figure.name != "kl"} == {None}
    assert (rows[1]["win_rate"], rows[1]["kl"]) == (0.54, 0.1)


def test_a_run_without_the_head_to_head_benchmark_has_no_win_rate(tmp_path: Path) -> None:
    rows = summary_of(toy_run(tmp_path, evaluations(1, GAME)), 0)["iterations"]
    assert [rows[0][name] for name in ("win_rate", "win_rate_low", "win_rate_high")] == [None, None, None]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_becomes_null(tmp_path: Path, bad: float) -> None:
    metrics = [{**row, "kl": bad, "duality_gap": bad} for row in evaluations(2, WON, GAME)]
    summary = summary_of(toy_run(tmp_path, metrics), 1)
    assert [row["kl"] for row in summary["iterations"]] == [None, None]
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_only_the_iterations_asked_for_are_there(tmp_path: Path) -> None:
    summary = summary_of(toy_run(tmp_path, evaluations(3, WON, GAME)), 1)
    assert [row["iteration"] for row in summary["iterations"]] == [0, 1]
    assert [policy["index"] for policy in summary["policies"]] == [0, 1]


@pytest.mark.parametrize(
    "unit",
    [
        layout.shard(2, "main", "rollouts", 1),
        layout.shard(2, "main", "pairs", 0),
        layout.shard(2, "main", "logprobs", 1),
        layout.policy(2, "main"),
        layout.evaluation(2, "responses"),
        layout.evaluation(2, "head_to_head"),
        layout.evaluation(2, "game"),
    ],
)
def test_an_iteration_under_way_is_left_out(tmp_path: Path, unit: str) -> None:
    store = toy_run(tmp_path, evaluations(3, WON, GAME), shards=2)
    forget(store, unit)
    summary = summary_of(store, 2)
    assert [row["iteration"] for row in summary["iterations"]] == [0, 1]
    assert [policy["digest"] for policy in summary["policies"]] == ["0main", "1main"]


def test_an_evaluation_that_is_late_leaves_the_next_iteration_in(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(3, WON, GAME))
    forget_evaluation(store, 1)
    assert [row["iteration"] for row in summary_of(store, 2)["iterations"]] == [0, 2]


def test_before_the_reference_is_evaluated_there_is_nothing_to_report(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(1, WON))
    forget_evaluation(store, 0, "opponents")
    with pytest.raises(UserError, match=rf"{tmp_path}: nothing to report yet: iteration 0"):
        summary_of(store, 3)


class _TwoPhases(PairedMethod):
    """A first phase with data of its own, then one that uses its pairs again."""

    name: Literal["two"] = "two"

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        current = PolicyRef(iteration - 1)
        half, main = PolicyRef(iteration, "half"), PolicyRef(iteration)
        common: dict[str, Any] = {"anchors": {REFERENCE: 1.0}, "link": "squared", "start_from": current}
        return (
            Phase(name="first", samples=(Sampling({current: 1.0}, 2),), result=half, **common),
            Phase(name="fresh", samples=(Sampling({half: 1.0}, 2),), result=PolicyRef(iteration, "other"), **common),
            Phase(name="again", data_from="first", result=main, **common),
        )


def test_phases_add_up_and_borrowed_pairs_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(_TwoPhases(), 1, (HeadToHead(), MonteCarloKL()))
    monkeypatch.setattr(Shape, "of", lambda _: shape)
    store = toy_run(tmp_path, evaluations(2, WON), phases=("first", "fresh"), method={"name": "two"})
    data(store, 1, "again", 1, ["logprobs"])
    for name in ("half", "other"):
        policy(store, 1, name)
    row = summary_of(store, 1)["iterations"][1]
    assert (row["pairs"], row["comparisons"], row["oracle_calls"]) == (22, 44, 66)
    assert set(row["seconds"]) == {"rollout", "judging", "logprobs", "training", "evaluation"}
    assert row["seconds"]["rollout"] == 2 * SECONDS["rollouts"]
    assert row["seconds"]["logprobs"] == 3 * SECONDS["logprobs"]
    assert row["seconds"]["training"] == 3 * SECONDS["training"]


@pytest.mark.parametrize(("shards", "iterations"), [(1, 3), (3, 1), (2, 2)])
def test_counts_and_seconds_are_sums_over_shards(tmp_path: Path, shards: int, iterations: int) -> None:
    store = toy_run(tmp_path, evaluations(iterations + 1), shards=shards)
    for t, row in enumerate(summary_of(store, iterations)["iterations"][1:], start=1):
        assert row["pairs"] == sum(10 * t + shard + 1 for shard in range(shards))
        assert (row["comparisons"], row["oracle_calls"]) == (2 * row["pairs"], 3 * row["pairs"])
        assert row["seconds"]["rollout"] == shards * SECONDS["rollouts"]
        assert row["seconds"]["training"] == SECONDS["training"]


def test_figures_that_were_measured_in_two_ways_are_no_report(tmp_path: Path) -> None:
    """The run was stopped after another `evaluation.tau` had been given, and one iteration measured anew."""
    store = toy_run(tmp_path, evaluations(3, WON, GAME))
    summary_of(store, 2)
    key = next(unit for unit in Shape.of(require_run(store)).evaluations(1) if "/game/" in unit)
    made = require_manifest(store, key)
    Unit(store, key, 1, {"tau": 0.2}, made.inputs).publish(made.files, made.metrics, 0.0)
    with pytest.raises(UserError, match=r"evaluation/game/00000 was made with other settings.* 0, 2 than for 1:"):
        summary_of(store, 2)
    store.delete(f"{key}.manifest.json")
    Unit(store, key, 2, None, made.inputs).publish(made.files, made.metrics, 0.0)
    with pytest.raises(UserError, match=r"or by another version, for iterations 0, 2 than for 1"):
        summary_of(store, 2)
