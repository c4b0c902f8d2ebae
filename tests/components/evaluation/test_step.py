"""The evaluation step on a run: its figures against the exact ones, and what makes it measure again."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.evaluation import step as evaluation
from nashflow.components.benchmarks.head_to_head import wilson_interval
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import response_index
from nashflow.components.games.sandbox.world import make_world
from tests.fixtures.runs import SandboxRun, log_policy, logprobs, remove, snapshot
from tests.fixtures.statistics import SIGMAS

New = Callable[..., SandboxRun]
REFERENCE, SECOND = (f"iterations/{iteration:03d}/evaluation/benchmarks/00000" for iteration in (0, 2))


def evaluated(run: SandboxRun, iteration: int = 2, **changes: Any) -> dict[str, Any]:
    """The figures under evaluation settings with changes."""
    settings = {**run.recipe.evaluation.model_dump(mode="json"), **changes}
    return dict(run.changed(evaluation=settings).step("evaluation", iteration).manifest.metrics)


def test_all_figures_are_there(finished_root: SandboxRun) -> None:
    assert sorted(finished_root.manifest(SECOND).metrics) == [
        "abstentions",
        "duality_gap",
        "duality_gap_exact",
        "duality_gap_unregularised",
        "evaluated_prompts",
        "kl",
        "mass_outside",
        "mean_length",
        "truncated",
        "win_rate",
        "win_rate_exact",
        "win_rate_high",
        "win_rate_low",
    ]


def test_the_reference_plays_itself_with_other_samples(finished_root: SandboxRun) -> None:
    figures = finished_root.manifest(REFERENCE).metrics
    assert figures["win_rate_exact"] == pytest.approx(0.5, abs=1e-12)
    assert abs(figures["win_rate"] - 0.5) < SIGMAS * spread(finished_root, "000/main") / np.sqrt(32)
    assert figures["kl"] == pytest.approx(0, abs=1e-12)
    rows = finished_root.rows(REFERENCE, "rollouts")
    ours, theirs = ([row["text"] for row in rows if row["role"] == role] for role in ("pair", "opponent"))
    assert len(ours) == len(theirs) == 32
    assert ours != theirs


def test_every_policy_meets_the_same_responses_of_the_reference(finished_root: SandboxRun) -> None:
    theirs = {
        row["row_id"]: row["text"] for row in finished_root.rows(REFERENCE, "rollouts") if row["role"] == "opponent"
    }
    prompts = {row["row_id"]: row for row in finished_root.rows("iterations/000/prompts/held_out", "prompts")}
    matrix = make_world(WorldSettings()).matrix
    for unit in (f"iterations/{iteration:03d}/evaluation/benchmarks/00000" for iteration in (1, 2)):
        rows, compared = finished_root.rows(unit, "rollouts"), finished_root.rows(unit, "comparisons")
        assert [row["row_id"] for row in rows] == [row["row_id"] for row in compared] == list(prompts)
        expected = [
            matrix[
                int(prompts[row["row_id"]]["messages"][0]["content"][1:]),
                response_index(row["text"]),
                response_index(theirs[row["row_id"]]),
            ]
            for row in rows
        ]
        np.testing.assert_allclose([row["probability"] for row in compared], expected, atol=1e-12)
        figures = finished_root.manifest(unit).metrics
        assert figures["win_rate"] == pytest.approx(np.mean(expected))
        assert figures["mean_length"] == np.mean([len(row["response_ids"]) for row in rows])


def test_the_estimate_of_the_win_rate_is_exact_but_for_sampling(finished: SandboxRun) -> None:
    """With every seed; its interval is one of 32 coins, and wider than what two pairs of responses each leave open."""
    exact = finished.manifest(SECOND).metrics["win_rate_exact"]
    error = SIGMAS * spread(finished, "002/main") / np.sqrt(2 * 32)
    assert abs(exact - 0.5) > 1e-3
    estimates = []
    for seed in range(6):
        run = finished.changed(run={**finished.recipe.run.model_dump(), "seed": seed})
        for iteration in (0, 2):
            figures = evaluated(run, iteration, benchmarks=["head_to_head"], samples=2)
        estimates.append(figures["win_rate"])
        assert (figures["win_rate_low"], figures["win_rate_high"]) == wilson_interval(figures["win_rate"], 32)
    assert np.abs(np.array(estimates) - exact).max() < error
    assert len(set(estimates)) == 6
    assert abs(np.mean(estimates) - exact) < error / np.sqrt(6)


def spread(run: SandboxRun, policy: str) -> float:
    """The standard deviation of P(y ≻ y'), y a policy's response and y' the reference's, averaged over the contexts."""
    ours, theirs = (np.exp(log_policy(run.folder(name))) for name in (policy, "000/main"))
    matrix = make_world(WorldSettings()).matrix
    first, second = (np.einsum("ci,cij,cj->c", ours, matrix**power, theirs) for power in (1, 2))
    return float(np.sqrt((second - first**2).mean()))


def test_the_estimate_of_the_divergence_is_exact_but_for_sampling(finished: SandboxRun) -> None:
    evaluated(finished, 0, benchmarks=["head_to_head"], samples=16)
    figures = evaluated(finished, benchmarks=["head_to_head"], samples=16)
    rows = finished.rows(SECOND, "rollouts")
    assert len(rows) == 32 * 16
    pairs = [(row["prompt_ids"], row["response_ids"]) for row in rows]
    ratios = logprobs(finished.folder("002/main"), pairs) - logprobs(finished.folder("000/main"), pairs)
    assert figures["kl"] == pytest.approx(ratios.mean(), abs=1e-6)
    ours, theirs = log_policy(finished.folder("002/main")), log_policy(finished.folder("000/main"))
    exact = (np.exp(ours) * (ours - theirs)).sum(1).mean()
    assert exact > 1e-3
    assert abs(figures["kl"] - exact) < SIGMAS * ratios.std(ddof=1) / np.sqrt(len(ratios))


def test_benchmarks_can_be_chosen(finished: SandboxRun) -> None:
    head_to_head = evaluated(finished, benchmarks=["head_to_head"])
    game = evaluated(finished, benchmarks=["game"])
    both = evaluated(finished, benchmarks=["head_to_head", "game"])
    assert {"win_rate", "kl", "mean_length"} <= head_to_head.keys()
    assert not {"duality_gap", "win_rate_exact"} & head_to_head.keys()
    assert "win_rate" not in game
    assert both == {**head_to_head, **game}


def test_greedy_responses_can_be_compared(finished: SandboxRun) -> None:
    even = evaluated(finished, 0, temperature=0.0)
    assert even["win_rate"] == 0.5  # the reference says the same twice
    evaluated(finished, 2, temperature=0.0)
    texts = {}
    for row in finished.rows(SECOND, "rollouts"):
        texts.setdefault(tuple(row["prompt_ids"]), set()).add(row["text"])
    assert {len(said) for said in texts.values()} == {1}


# --- again -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roles that responses were sampled for."""
    roles: list[str] = []
    sample_rows = evaluation.sample_rows

    def spy(*arguments: Any, role: str, **options: Any) -> Any:
        roles.append(role)
        return sample_rows(*arguments, role=role, **options)

    monkeypatch.setattr(evaluation, "sample_rows", spy)
    return roles


def test_a_finished_evaluation_is_left_alone(finished: SandboxRun, sampled: list[str]) -> None:
    before = snapshot(finished.root)
    assert finished.step("evaluation", 2).skipped
    assert (snapshot(finished.root), sampled) == (before, [])


def test_the_references_responses_are_made_once(finished: SandboxRun, sampled: list[str]) -> None:
    evaluated(finished, 0, samples=2)
    assert sampled == ["pair", "opponent"]
    evaluated(finished, 1, samples=2)
    evaluated(finished, 2, samples=2)
    assert sampled == ["pair", "opponent", "pair", "pair"]


def test_other_evaluation_settings_measure_again_and_nothing_else(finished: SandboxRun) -> None:
    before, figures = snapshot(finished.root), finished.manifest(SECOND).metrics
    again = evaluated(finished, tau=0.5)
    after = snapshot(finished.root)
    contents = (
        {key: content for key, (_, content) in files.items() if "/replacing/" not in key}.items()
        for files in (before, after)
    )
    assert {key for key, _ in set.symmetric_difference(*map(set, contents))} == {f"{SECOND}.manifest.json"}
    assert {name for name in figures if again[name] != figures[name]} == {"duality_gap", "duality_gap_exact"}


def test_an_undone_evaluation_gives_the_same_figures(finished: SandboxRun) -> None:
    whole = finished.manifest(SECOND)
    remove(finished, SECOND)
    again = finished.step("evaluation", 2).manifest
    assert (again.metrics, again.files) == (whole.metrics, whole.files)


def test_without_the_references_evaluation_it_says_so(finished: SandboxRun) -> None:
    remove(finished, REFERENCE)
    with pytest.raises(UserError) as caught:
        finished.step("evaluation", 2)
    assert str(caught.value) == f"{finished.root}/{REFERENCE}: not there yet; run the step that makes it first"
