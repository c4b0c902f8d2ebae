"""The evaluation step on a run: its figures against the exact ones, and what makes it measure again."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.benchmarks.base import Measured
from nashflow.components.benchmarks.head_to_head import HeadToHead
from nashflow.components.benchmarks.intervals import mean_interval, standard_error
from nashflow.components.benchmarks.kl import MonteCarloKL
from nashflow.components.core.errors import UserError
from nashflow.components.evaluation import step
from nashflow.components.evaluation.settings import EvaluationSettings
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import response_index
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.oracles.base import Query, Verdict
from nashflow.components.oracles.sandbox.oracle import MatrixOracle
from nashflow.components.sampling.engines import Transformers
from nashflow.components.sampling.rollouts import Samplers
from nashflow.components.storage import layout
from tests.fixtures.runs import SandboxRun, log_policy, logprobs, remove, snapshot
from tests.fixtures.statistics import SIGMAS

RESPONSES, OPPONENTS = layout.evaluation(2, "responses"), layout.evaluation(0, "opponents")
KL_FIGURES = [figure.name for figure in MonteCarloKL.figures]
GAME, HEAD_TO_HEAD = layout.evaluation(2, "game"), layout.evaluation(2, "head_to_head")


def evaluated(run: SandboxRun, iteration: int = 2, **changes: Any) -> dict[str, Any]:
    """The figures under evaluation settings with changes."""
    settings = {**run.recipe.evaluation.model_dump(mode="json"), **changes}
    return dict(run.changed(evaluation=settings).step("evaluation", iteration).metrics)


def figures(run: SandboxRun, iteration: int) -> dict[str, float]:
    """The figures of an iteration of a run of the small recipe."""
    units = (layout.evaluation(iteration, benchmark) for benchmark in ("head_to_head", "game"))
    return {name: value for unit in units for name, value in run.manifest(unit).metrics.items()}


def test_all_figures_are_there(finished_root: SandboxRun) -> None:
    assert sorted(figures(finished_root, 2)) == [
        "abstentions",
        "duality_gap",
        "duality_gap_exact",
        "duality_gap_own",
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
    measured = figures(finished_root, 0)
    assert measured["win_rate_exact"] == pytest.approx(0.5, abs=1e-12)
    assert abs(measured["win_rate"] - 0.5) < SIGMAS * spread(finished_root, "000/main") / np.sqrt(32)
    assert measured["kl"] == pytest.approx(0, abs=1e-12)
    rows = {
        role: finished_root.rows(layout.evaluation(0, part), "rollouts")
        for part, role in (("responses", "pair"), ("opponents", "opponent"))
    }
    assert all(row["role"] == role for role, made in rows.items() for row in made)
    ours, theirs = ([row["text"] for row in made] for made in rows.values())
    assert len(ours) == len(theirs) == 32
    assert ours != theirs


def test_every_policy_meets_the_same_responses_of_the_reference(finished_root: SandboxRun) -> None:
    theirs = {row["row_id"]: row["text"] for row in finished_root.rows(OPPONENTS, "rollouts")}
    prompts = {row["row_id"]: row for row in finished_root.rows("iterations/000/prompts/held_out", "prompts")}
    matrix = make_world(WorldSettings()).matrix
    for iteration in (1, 2):
        rows = finished_root.rows(layout.evaluation(iteration, "responses"), "rollouts")
        compared = finished_root.rows(layout.evaluation(iteration, "head_to_head"), "comparisons")
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
        measured = figures(finished_root, iteration)
        assert measured["win_rate"] == pytest.approx(np.mean(expected))
        assert measured["mean_length"] == np.mean([len(row["response_ids"]) for row in rows])


def test_the_estimate_of_the_win_rate_is_exact_but_for_sampling(finished: SandboxRun) -> None:
    """With every seed; its interval is that of 32 prompts, each with the mean of its two responses."""
    exact = figures(finished, 2)["win_rate_exact"]
    error = SIGMAS * spread(finished, "002/main") / np.sqrt(2 * 32)
    assert abs(exact - 0.5) > 1e-3
    estimates = []
    for seed in range(6):
        run = finished.changed(run={**finished.recipe.run.model_dump(), "seed": seed})
        for iteration in (0, 2):
            measured = evaluated(run, iteration, benchmarks=["head_to_head"], samples=2)
        estimates.append(measured["win_rate"])
        chances = [row["probability"] for row in run.rows(HEAD_TO_HEAD, "comparisons")]
        ends = mean_interval(np.reshape(chances, (32, 2)).mean(axis=1))
        assert (measured["win_rate_low"], measured["win_rate_high"]) == pytest.approx(ends)
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
    measured = evaluated(finished, benchmarks=["kl"], samples=16)
    rows = finished.rows(RESPONSES, "rollouts")
    assert len(rows) == 32 * 16
    pairs = [(row["prompt_ids"], row["response_ids"]) for row in rows]
    ratios = logprobs(finished.folder("002/main"), pairs) - logprobs(finished.folder("000/main"), pairs)
    terms = {"kl": ratios, "kl_k3": np.exp(-ratios) - 1 + ratios}
    by_prompt = {name: np.reshape(values, (32, 16)).mean(axis=1) for name, values in terms.items()}
    expected = {name: means.mean() for name, means in by_prompt.items()}
    expected |= {f"{name}_error": standard_error(means) for name, means in by_prompt.items()}
    assert measured == pytest.approx(expected, abs=1e-6)
    ours, theirs = log_policy(finished.folder("002/main")), log_policy(finished.folder("000/main"))
    exact = (np.exp(ours) * (ours - theirs)).sum(1).mean()
    assert exact > 1e-3
    assert abs(measured["kl"] - exact) < SIGMAS * ratios.std(ddof=1) / np.sqrt(len(ratios))
    assert abs(measured["kl_k3"] - exact) < SIGMAS * terms["kl_k3"].std(ddof=1) / np.sqrt(len(ratios))


@pytest.mark.parametrize("changed", [{"evaluation__temperature": 0.7}, {"rollout__top_p": 0.9}])
def test_responses_that_are_no_samples_of_the_policy_tell_no_divergence(
    changed: dict[str, Any], finished: SandboxRun
) -> None:
    run = finished.changed(evaluation__benchmarks=["kl"], **changed)
    assert run.step("evaluation", 2).metrics == {}
    assert finished.manifest(layout.evaluation(2, "kl")).metrics == {}


def test_the_reference_is_no_distance_from_itself(finished: SandboxRun) -> None:
    assert evaluated(finished, 0, benchmarks=["kl"]) == dict.fromkeys(KL_FIGURES, 0.0)


def test_benchmarks_can_be_chosen(finished: SandboxRun) -> None:
    head_to_head = evaluated(finished, benchmarks=["head_to_head", "kl"])
    game = evaluated(finished, benchmarks=["game"])
    both = evaluated(finished, benchmarks=["head_to_head", "game"])
    assert {"win_rate", "kl", "mean_length"} <= head_to_head.keys()
    assert not {"duality_gap", "win_rate_exact"} & head_to_head.keys()
    assert "win_rate" not in game
    assert both == {name: value for name, value in {**head_to_head, **game}.items() if name not in KL_FIGURES[1:]}


@pytest.mark.parametrize(
    ("benchmarks", "said"),
    [
        (["game", "kl"], "game and kl measure kl: leave one of them out"),
        (["kl", "head_to_head", "kl"], "kl, which is there twice, measure kl: leave one of them out"),
    ],
)
def test_benchmarks_that_measure_the_same_are_refused(benchmarks: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        EvaluationSettings.parse({"benchmarks": benchmarks}, "evaluation")
    assert str(caught.value) == f"evaluation: benchmarks: {said}"


def test_greedy_responses_can_be_compared(finished: SandboxRun) -> None:
    even = evaluated(finished, 0, temperature=0.0)
    assert even["win_rate"] == 0.5  # the reference says the same twice
    evaluated(finished, 2, temperature=0.0)
    texts = {}
    for row in finished.rows(RESPONSES, "rollouts"):
        texts.setdefault(tuple(row["prompt_ids"]), set()).add(row["text"])
    assert {len(said) for said in texts.values()} == {1}


# --- again -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roles that responses were sampled for."""
    roles: list[str] = []
    rows = Samplers.sampled

    def spy(*arguments: Any, role: str, **options: Any) -> Any:
        roles.append(role)
        return rows(*arguments, role=role, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Samplers, "sampled", spy)
    return roles


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was opened, in its order: models by the policy's name, samplers; and which were closed."""
    events: list[str] = []
    load, open_sampler = step.load_causal_lm, Transformers.open

    def loading(folder: Path, dtype: Any) -> Any:
        events.append(f"{folder.parts[-3]}/{folder.parts[-2]} in {dtype}")
        return load(folder, dtype)

    def opening(*arguments: Any) -> Any:
        sampler = open_sampler(*arguments)
        events.append("sampler")
        monkeypatch.setattr(sampler, "close", lambda: events.append("closed"))
        return sampler

    monkeypatch.setattr(step, "load_causal_lm", loading)
    monkeypatch.setattr(Transformers, "open", opening)
    return events


def test_every_model_and_sampler_is_opened_once(finished: SandboxRun, opened: list[str]) -> None:
    """Of the reference's evaluation both sides are the reference, and it answers for both."""
    evaluated(finished, 0, samples=2, tau=0.5)
    assert opened == ["000/main in float64", "sampler", "closed"]
    opened.clear()
    evaluated(finished, 2, samples=2, tau=0.5)
    assert sorted(opened) == ["000/main in float64", "002/main in float64", "closed", "sampler"]
    opened.clear()
    evaluated(finished, 2, samples=2, benchmarks=["kl"])
    assert sorted(opened) == ["000/main in float64", "002/main in float64"]


def test_a_finished_evaluation_opens_nothing(finished: SandboxRun, opened: list[str]) -> None:
    finished.step("evaluation", 2)
    assert opened == []


def test_a_sampler_is_closed_where_a_benchmark_fails(
    finished: SandboxRun, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> Measured:
        raise RuntimeError("no room")

    monkeypatch.setattr(HeadToHead, "measure", failing)
    with pytest.raises(RuntimeError, match="no room"):
        evaluated(finished, 2, samples=2)
    assert opened == ["002/main in float64", "sampler", "closed"]


def test_a_figure_that_a_benchmark_does_not_declare_is_a_mistake_of_its_author(
    finished: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MonteCarloKL, "measure", lambda *_: Measured({"kl": 1.0, "charm": 3.0}))
    with pytest.raises(ValueError, match="benchmark kl measured charm, which its figures lack"):
        evaluated(finished, benchmarks=["kl"])


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


def changed(run: SandboxRun, before: dict[str, tuple[int, bytes]]) -> set[str]:
    """The files whose content is not as it was."""
    contents = (
        {key: content for key, (_, content) in files.items() if "/replacing/" not in key}.items()
        for files in (before, snapshot(run.root))
    )
    return {key for key, _ in set.symmetric_difference(*map(set, contents))}


PAGE = {f"{layout.BENCHMARKS}/002{end}" for end in (".html", ".json")}


def test_other_evaluation_settings_measure_again_and_nothing_else(finished: SandboxRun) -> None:
    before, measured = snapshot(finished.root), figures(finished, 2)
    again = evaluated(finished, tau=0.5)
    assert changed(finished, before) - PAGE == {f"{GAME}.manifest.json"}
    assert {name for name in measured if again[name] != measured[name]} == {"duality_gap", "duality_gap_exact"}


def test_another_benchmark_redoes_no_other(finished: SandboxRun, sampled: list[str]) -> None:
    """The head-to-head benchmark's responses are there; the game's own KL gives way."""
    before = snapshot(finished.root)
    assert not finished.changed(evaluation__benchmarks=["head_to_head", "kl"]).step("evaluation", 2).skipped
    assert changed(finished, before) - PAGE == {f"{layout.evaluation(2, 'kl')}.manifest.json"}
    assert finished.changed(evaluation__benchmarks=["game"]).step("evaluation", 2).skipped
    assert sampled == []


def test_a_setting_that_a_benchmark_does_not_read_leaves_it_alone(finished: SandboxRun, sampled: list[str]) -> None:
    before = snapshot(finished.root)
    scored = finished.changed(logprobs__batch_tokens=7, judging__drop_identical=True, training__epochs=9)
    assert scored.step("evaluation", 2).skipped
    method = finished.changed(method__eta=0.25)
    assert not method.step("evaluation", 2).skipped
    assert (changed(finished, before) - PAGE, sampled) == ({f"{GAME}.manifest.json"}, [])


def test_an_undone_evaluation_gives_the_same_figures(finished: SandboxRun) -> None:
    units = (RESPONSES, HEAD_TO_HEAD, GAME)
    whole = [finished.manifest(unit) for unit in units]
    for unit in units:
        remove(finished, unit)
    assert not finished.step("evaluation", 2).skipped
    again = [finished.manifest(unit) for unit in units]
    assert [(each.metrics, each.files) for each in again] == [(each.metrics, each.files) for each in whole]


def test_a_sampling_that_was_cut_off_goes_on(finished: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batches that were finished are not sampled again, and the whole is what it would have been."""
    run = finished.changed(rollout__batch_size=8)
    run.step("evaluation", 2)
    whole = finished.manifest(RESPONSES)
    remove(finished, RESPONSES)
    rows, works = Samplers.sampled, []

    def cut(*arguments: Any, **options: Any) -> Any:
        works.append(len(arguments[2]))
        for count, batch in enumerate(rows(*arguments, **options)):
            if count == 2 and len(works) == 1:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(Samplers, "sampled", cut)
    with pytest.raises(KeyboardInterrupt):
        run.step("evaluation", 2)
    run.step("evaluation", 2)
    assert works == [32, 32 - 2 * 8]
    assert finished.manifest(RESPONSES).files == whole.files


def test_judging_that_was_cut_off_goes_on(finished: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished.changed(evaluation={"benchmarks": ["head_to_head"], "samples": 8})
    run.step("evaluation", 0)
    whole, unit = finished.manifest(layout.evaluation(0, "head_to_head")), layout.evaluation(0, "head_to_head")
    remove(finished, unit)
    judge, asked = MatrixOracle.judge, []

    def cut(oracle: MatrixOracle, queries: Sequence[Query]) -> list[Verdict]:
        if len(asked) == 1:
            asked.append(0)
            raise KeyboardInterrupt
        asked.append(len(queries))
        return judge(oracle, queries)

    monkeypatch.setattr(MatrixOracle, "judge", cut)
    with pytest.raises(KeyboardInterrupt):
        run.step("evaluation", 0)
    run.step("evaluation", 0)
    assert asked[:2] == [32, 0]
    rows = finished.rows(unit, "comparisons")
    assert len(rows) == 256
    assert sum(asked) <= 256, "no pair is asked about twice"
    assert finished.manifest(unit).files == whole.files


def test_without_the_references_evaluation_it_says_so(finished: SandboxRun) -> None:
    remove(finished, OPPONENTS)
    with pytest.raises(UserError) as caught:
        finished.step("evaluation", 2)
    assert str(caught.value) == f"{finished.root}/{OPPONENTS}: not there yet; run the step that makes it first"


# --- benchmarks of questions -----------------------------------------------------------------------------------------


def versus(folder: Path, **settings: Any) -> dict[str, Any]:
    """The settings of a benchmark whose opponent always says the same."""
    rows = [{"instruction": f"x{context}", "output": "a b"} for context in range(8)]
    path = folder / "opponent.json"
    path.write_text(json.dumps(rows))
    return {"kind": "versus", "data": str(path), "max_new_tokens": 3, **settings}


def test_questions_are_asked_in_a_run(finished: SandboxRun, tmp_path: Path) -> None:
    """By the recipe's oracle, and by a judge of the benchmark's own; both are named."""
    other = {"kind": "rules", "function": f"{tmp_path}/rules.py:longer"}
    (tmp_path / "rules.py").write_text("def longer(messages, first, second):\n    return 0.5\n")
    benchmarks = [versus(tmp_path), versus(tmp_path, judge=other), "game"]
    run = finished.changed(evaluation__benchmarks=benchmarks)
    measured = {t: run.step("evaluation", t).metrics for t in (0, 2)}
    assert measured[2]["versus/answers"] == 8
    assert measured[2]["versus/win_rate/rules"] == 0.5, "all answers have two letters"
    exact = [
        make_world(WorldSettings()).matrix[int(row["question"]), response_index(row["turns"][0]), response_index("a b")]
        for row in run.rows(layout.evaluation(2, "versus/answers"), "answers")
    ]
    assert measured[2]["versus/win_rate/sandbox"] == pytest.approx(np.mean(exact))
    assert run.step("evaluation", 2).skipped


def test_a_benchmark_that_is_not_due_measures_nothing(finished: SandboxRun, sampled: list[str]) -> None:
    seldom = [{"kind": "head_to_head", "every": "final"}, {"kind": "game", "every": 2}]
    run = finished.changed(evaluation__benchmarks=seldom)
    assert run.step("evaluation", 1).metrics == {}
    assert run.step("evaluation", 2).metrics.keys() == figures(finished, 2).keys()
    assert run.step("evaluation", 2).skipped, "how often it measures changes no figure"
    assert sampled == []


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({}, "evaluation.benchmarks: versus is there twice and measures versus/canary_win_rate/sandbox both times: "
         "leave one out, or let them differ in questions or judge"),
        ({"judge": {"kind": "rules", "function": "rules.py:longer"}, "temperature": 0.5}, "evaluation.benchmarks: "
         "versus is there twice, with other settings: entries of one kind with as many questions may differ in judge "
         "and every alone"),
    ],
)  # fmt: skip
def test_benchmarks_of_one_name_are_refused(
    second: dict[str, Any], said: str, finished: SandboxRun, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        finished.changed(evaluation__benchmarks=[versus(tmp_path), versus(tmp_path, **second)])
    assert str(caught.value) == f"test: {said}"
