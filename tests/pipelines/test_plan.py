"""What a recipe would do and what it would cost, counted by hand and against what the methods and the oracles say."""

import itertools
import json
import math
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from time import strftime

import pytest
import typer
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.base import Oracle, Query, Verdict
from nashflow.components.oracles.referee import PromptSamples, Rules, Sample
from nashflow.components.oracles.rounds import judge
from nashflow.pipelines import cli
from nashflow.pipelines.commands import app
from nashflow.pipelines.costs import Assumptions, checkpoint_bytes, cost_of, master_bytes
from nashflow.pipelines.costs_table import amount
from nashflow.pipelines.measured import Measured
from nashflow.pipelines.plan import planned_tasks, work_of
from nashflow.pipelines.recipe import Recipe, load_recipe
from tests.components.models.test_size import configured
from tests.fixtures.labelled import write_pairs
from tests.fixtures.runs import SandboxRun


def test_the_tasks_of_a_run_in_their_order() -> None:
    assert planned_tasks(load_recipe("quickstart", ["run.iterations=2"])) == [
        "preparation",
        "evaluation-000",
        *(f"{step}-001-main" for step in ("rollout", "judging", "logprobs", "training")),
        "evaluation-001",
        *(f"{step}-002-main" for step in ("rollout", "judging", "logprobs", "training")),
        "evaluation-002",
        "reporting",
        "closing",
    ]


@pytest.mark.parametrize(("iterations", "shards"), [(1, 1), (3, 2), (10, 4)])
def test_shards_multiply_the_data_steps_alone(iterations: int, shards: int) -> None:
    tasks = planned_tasks(load_recipe("quickstart", [f"run.iterations={iterations}", f"prompts.shards={shards}"]))
    assert len(tasks) == 4 + iterations * (3 * shards + 2)
    assert tasks.count(f"rollout-{iterations:03d}-main") == tasks.count("logprobs-001-main") == shards
    assert tasks.count(f"training-{iterations:03d}-main") == 1


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
    assert dpo == ("main: 2 of 001/main, iid; 001/main → 002/main by logistic regression on 1 of 001/main, beta 0.5")


# --- costs: the paper's recipe by hand -------------------------------------------------------------------------------

# 20,000 prompts an iteration, 8 responses each, brackets of 11 comparisons, 2 epochs; 256 prompts held out.
PROMPTS = "prompts.per_iteration=20000"
KNOWN = Assumptions(parameters=8e9, prompt_tokens=200.0, response_tokens=400.0, gpu_flops=1e15, utilisation=0.5)
HOUR = 3600 * 1e15 * 0.5
"""Operations of a GPU hour; a fifth of them in generation, at 0.1."""


def paper(*overrides: str) -> Recipe:
    """The paper's recipe with a round number of prompts."""
    return load_recipe("inpo-llama3-8b", [PROMPTS, *overrides])


def test_the_hours_of_an_iteration_of_the_paper_by_hand() -> None:
    recipe = paper()
    hours = cost_of(recipe, 2, KNOWN).hours
    assert hours.keys() == {"rollout", "judging", "logprobs", "training", "evaluation"}
    assert hours["rollout"] == pytest.approx(5 * 2 * 8e9 * (20_000 * 200 + 160_000 * 400) / HOUR)
    assert hours["judging"] == pytest.approx(2 * 8e9 * 440_000 * (200 + 2 * 400) / HOUR)
    assert hours["logprobs"] == pytest.approx(2 * 8e9 * 80_000 * 600 / HOUR)
    assert hours["training"] == pytest.approx(6 * 8e9 * 2 * 20_000 * 2 * 600 / HOUR)
    answers, judged, kl = 256 * 200 + 256 * 400, 512 * 1000, 512 * 600
    assert hours["evaluation"] == pytest.approx(2 * 8e9 * (5 * answers + judged + kl) / HOUR)


def test_the_oracle_reads_each_new_pair_twice_or_each_response_once() -> None:
    pairs, rewards = (load_recipe(name, [PROMPTS]) for name in ("inpo-llama3-8b", "inpo-llama3-8b-rm"))
    assert [cost_of(pairs, t, KNOWN).readings for t in (0, 1, 3)] == [512, 20_000 * 22 + 512, 20_000 * 22 + 512]
    assert [cost_of(rewards, t, KNOWN).readings for t in (0, 1, 3)] == [512, 20_000 * 8 + 512, 20_000 * 8 + 512]
    reading = cost_of(rewards, 1, KNOWN).hours["judging"]
    assert reading == pytest.approx(2 * 8e9 * 160_000 * 600 / HOUR)


def test_the_reference_is_evaluated_and_nothing_else_at_zero() -> None:
    recipe = paper()
    cost = cost_of(recipe, 0, KNOWN)
    assert {step for step, hours in cost.hours.items() if hours} == {"evaluation"}
    made, judged = 2 * (256 * 200 + 256 * 400), 512 * 1000
    assert cost.hours["evaluation"] == pytest.approx(2 * 8e9 * (5 * made + judged) / HOUR)
    assert cost.stored < 10e6, "the reference stays where it is"
    copied = paper("policy.copy_files=true")
    assert cost_of(copied, 0, KNOWN).stored - cost.stored == pytest.approx(2 * 8e9)


def test_storage_is_policies_and_records() -> None:
    recipe = paper()
    stored = cost_of(recipe, 2, KNOWN).stored
    policy, rollouts, pairs = 2 * 8e9, 160_256 * (600 * 4 + 400 * 4), 20_000 * 1000 * 4
    assert stored > policy + rollouts + pairs
    assert stored == pytest.approx(policy + rollouts + pairs, rel=2e-3)
    whole = paper("training.save_dtype=float32")
    assert cost_of(whole, 2, KNOWN).stored - stored == pytest.approx(2 * 8e9)
    assert (checkpoint_bytes(recipe, KNOWN), master_bytes(recipe, KNOWN)) == (96e9, 32e9)
    assert master_bytes(whole, KNOWN) == 0


LONGER = ("run.iterations=5", "prompts.path=/models/prompts.jsonl")


def test_storage_is_what_stays_when_the_run_is_done() -> None:
    """The float32 weights of the last policy, from which the run could go on, stay with it."""
    policy, master, lasting = 2 * 8e9, 4 * 8e9, {}
    for keep in ("all", "last 2", "every 3"):
        recipe = paper(*LONGER, f"run.keep={keep}")
        first, *others = (cost_of(recipe, t, KNOWN).stored for t in range(1, 6))
        lasting[keep] = [round((stored - first) / policy) for stored in others]
        plain = paper(*LONGER, f"run.keep={keep}", "training.masters=false")
        assert cost_of(recipe, 5, KNOWN).stored - cost_of(plain, 5, KNOWN).stored == master
    assert lasting == {"all": [0, 0, 0, 2], "last 2": [0, 0, 1, 3], "every 3": [0, 1, 0, 3]}


def test_a_mixture_runs_each_of_its_policies() -> None:
    mixed, plain = (load_recipe(name, ["run.iterations=2"]) for name in ("sandbox-nash-md", "sandbox-inpo"))
    assert work_of(mixed, 2).responses == work_of(plain, 2).responses
    ratio = cost_of(mixed, 2, KNOWN).hours["rollout"] / cost_of(plain, 2, KNOWN).hours["rollout"]
    (phase,) = mixed.method.phases(2)
    per_prompt = [(len(sampling.weights), sampling.count) for sampling in phase.samples]
    expected = sum(policies * (200 + count * 400) for policies, count in per_prompt)
    (other,) = plain.method.phases(2)
    assert ratio == pytest.approx(expected / sum(200 + sampling.count * 400 for sampling in other.samples))
    assert ratio > 1


def test_both_phases_of_a_method_cost() -> None:
    """ONPO trains and scores twice on pairs that are made once."""
    onpo, inpo = (load_recipe(name) for name in ("sandbox-onpo", "sandbox-inpo"))
    changed = load_recipe("sandbox-inpo", ["method.samples=" + str(onpo.method.phases(1)[0].samples[0].count)])
    assert work_of(onpo, 1).responses == work_of(changed, 1).responses
    assert cost_of(onpo, 1, KNOWN).hours["rollout"] == pytest.approx(cost_of(changed, 1, KNOWN).hours["rollout"])
    updates = onpo.training.epochs / inpo.training.epochs
    assert cost_of(onpo, 1, KNOWN).hours["training"] == pytest.approx(
        2 * updates * cost_of(changed, 1, KNOWN).hours["training"]
    )


def test_updates_count_where_a_method_says_how_many() -> None:
    recipe = load_recipe("sandbox-online-ipo", ["method.updates=3", "training.batch_size=64"])
    expected = len(recipe.method.phases(1)) * 6 * 8e9 * 2 * 3 * 64 * 600 / HOUR
    assert cost_of(recipe, 1, KNOWN).hours["training"] == pytest.approx(expected)


@settings(max_examples=30)
@given(
    size=st.floats(1e6, 1e12), flops=st.floats(1e12, 1e16), use=st.floats(0.01, 1.0), generation=st.floats(0.01, 1.0)
)
def test_hours_grow_with_the_model_and_shrink_with_the_gpu(
    size: float, flops: float, use: float, generation: float
) -> None:
    recipe = paper()
    other = Assumptions(size, None, 200.0, 400.0, flops, use, generation)
    ours, theirs = cost_of(recipe, 1, KNOWN).hours, cost_of(recipe, 1, other).hours
    scale = size / 8e9 * 1e15 / flops
    for step in ("judging", "logprobs", "training"):
        assert theirs[step] == pytest.approx(ours[step] * scale * 0.5 / use)
    assert theirs["rollout"] == pytest.approx(ours["rollout"] * scale * 0.1 / generation)


# --- the oracle's work, against the oracles themselves ---------------------------------------------------------------


class Reader(Oracle):
    """Prefers the longer text; counts what a pair preference model and a reward model would read."""

    def __init__(self) -> None:
        self.pairs, self.texts = 0, set[str]()

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        self.pairs += 2 * len(queries)
        self.texts.update(text for query in queries for text in (query.first, query.second))
        return [Verdict.of(*[float(len(query.first) > len(query.second))] * 2) for query in queries]


@pytest.mark.parametrize(("comparisons", "samples"), [("iid", 6), ("bracket", 8), ("bracket", 2), ("max_min", 5)])
def test_what_the_oracle_reads_is_what_it_is_asked(comparisons: str, samples: int) -> None:
    """A reward model reads a response once, in whichever rounds of a bracket it plays."""
    reader = Reader()
    texts = [Sample("x" * (index + 1), [index]) for index in range(samples)]
    judge([PromptSamples(0, [], [], texts)], comparisons, Rules("binary", 0, True), reader)  # type: ignore[arg-type]
    sets = [f"method.samples={samples}", f"method.comparisons={comparisons}", "evaluation.benchmarks=[kl]"]
    for name, read in (("inpo-llama3-8b", reader.pairs), ("inpo-llama3-8b-rm", len(reader.texts))):
        recipe = load_recipe(name, [*sets, "prompts.per_iteration=10"])
        assert cost_of(recipe, 1, KNOWN).readings == 10 * read


def test_a_sandbox_oracle_reads_nothing() -> None:
    recipe = load_recipe("quickstart")
    costs = [cost_of(recipe, iteration, Assumptions()) for iteration in range(4)]
    assert sum(cost.readings for cost in costs) == 0
    assert 0 < sum(sum(cost.hours.values()) for cost in costs) < 1e-4


# --- how large the models are -----------------------------------------------------------------------------------------


def test_sizes_come_from_the_folders_unless_given(tmp_path: Path) -> None:
    (tmp_path / "oracle").mkdir()
    oracle = configured(tmp_path / "oracle", architectures=["LlamaForSequenceClassification"])
    recipe = load_recipe("inpo-llama3-8b-rm", [f"policy.model={configured(tmp_path)}", f"oracle.model={oracle}"])
    found = Assumptions().of(recipe)
    assert (found.parameters, found.oracle_parameters) == (8_030_261_248, 8_030_261_248 - 128256 * 4096)
    assert (found.prompt_tokens, found.response_tokens) == (250, 512), "a quarter of the longest"
    told = Assumptions(parameters=7e9, oracle_parameters=1e9, prompt_tokens=10.0, response_tokens=20.0).of(recipe)
    assert (told.parameters, told.oracle_parameters, told.prompt_tokens, told.response_tokens) == (7e9, 1e9, 10, 20)
    assert Assumptions(parameters=7e9).of(load_recipe("inpo-llama3-8b")).oracle_parameters == 7e9


# --- what the command prints -----------------------------------------------------------------------------------------

Call = Callable[..., list[str]]


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The lines of `nashflow plan`."""
    main = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    main.add_typer(app)
    monkeypatch.setattr(cli, "app", main)

    def run(*arguments: str, width: int = 160) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr("sys.argv", ["nashflow", "plan", *arguments])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        assert not exit.value.code
        return capsys.readouterr().out.splitlines()

    return run


def cells(lines: list[str], first: str) -> list[list[str]]:
    """The cells of the cost tables' rows that begin so: of the hours, and of the amounts."""
    start = next(index for index, line in enumerate(lines) if line.startswith("estimates:"))
    return [line.split() for line in lines[start:] if line.split()[:1] == [first]]


ANSWERS, WHOLE = 3 * 160_000, 5 * 256 + 2 * 20_000 * (1 + 2 + 2) + 3 * 2 * 2 * 20_000 + 3 * 2 * 256
"""Responses that are sampled; and responses to held-out prompts, both sides of pairs under each anchor and in two
epochs of training, and responses that the KL is measured on."""
TOKENS = 3 * 20_000 * 250 + ANSWERS * 512 + WHOLE * 762 + 1_322_048 * (250 + 2 * 512)


def test_the_papers_costs_add_up(plan: Call) -> None:
    lines = plan("inpo-llama3-8b", "--set", PROMPTS, "--parameters", "8e9")
    rows = [cells(lines, str(iteration))[0] for iteration in range(4)]
    total, amounts = cells(lines, "all")
    columns = list(zip(*(map(float, row[1:7]) for row in rows), strict=True))
    for column, value in zip(columns, map(float, total[1:7]), strict=True):
        assert sum(column) == pytest.approx(value, abs=0.21)
    assert float(total[6]) == pytest.approx(sum(map(float, total[1:6])), abs=0.31)
    assert amounts[1:4] == [f"{3 * 20_000 + 4 * 256:,}", f"{ANSWERS + WHOLE:,}", "1,322,048"]
    assert float(amounts[4]) == pytest.approx(TOKENS, rel=5e-3)
    assert amounts[5:] == ["82.8", "GB"], "32 of them are the last policy's float32 weights"
    text = " ".join(" ".join(lines).split())
    assert "Estimates, not measurements. Parameters: 8e9 of the policy (--parameters), 8e9 of the oracle" in text
    assert "250 of a prompt (--prompt-tokens), 512 of a response (--response-tokens); where not given, 25%" in text
    assert "9.89e14 FLOP/s (--gpu-flops), of which 40.0% are used (--utilisation), in generation 10.0%" in text
    assert "its checkpoint takes 96.0 GB more" in text


def test_every_assumption_can_be_changed(plan: Call) -> None:
    usual = plan("inpo-llama3-8b", "--parameters", "8e9")
    for option, value in {
        "--oracle-parameters": "16e9",
        "--prompt-tokens": "500",
        "--response-tokens": "1000",
        "--gpu-flops": "312e12",
        "--utilisation": "0.2",
        "--generation-utilisation": "0.05",
    }.items():
        changed = plan("inpo-llama3-8b", "--parameters", "8e9", option, value)
        assert float(cells(changed, "all")[0][6]) > float(cells(usual, "all")[0][6]), option


def test_without_a_size_what_does_not_depend_on_it_is_said(plan: Call) -> None:
    typed = ["inpo-llama3-8b", "--set", PROMPTS, "--prompt-tokens", "300", "--gpu-flops", "312e12"]
    lines = plan(*typed, width=80)
    total, amounts = cells(lines, "all")
    assert total == ["all", *["–"] * 6]
    assert (amounts[3], amounts[-1]) == ("1,322,048", "–")
    assert "The dashes need the policy's size: /models/RLHFlow/LLaMA3-SFT/config.json" in " ".join(lines)
    command = shlex.split(lines[-1])
    assert command == ["nashflow", "plan", *typed[:-1], "3.12e+14", "--parameters", "8e9"]
    assert not any("–" in total for total in cells(plan(*command[2:], width=80), "all"))


def test_the_sandbox_costs_nothing(plan: Call) -> None:
    lines = plan("quickstart", width=80)
    total, amounts = cells(lines, "all")
    assert total == ["all", *["0.0"] * 6]
    assert (amounts[3], amounts[-1]) == ("0", "MB")
    assert max(map(len, lines[lines.index("") :])) <= 80


@pytest.mark.parametrize("name", ["inpo-llama3-8b", "quickstart"])
def test_the_costs_fit_on_eighty_columns(plan: Call, name: str) -> None:
    lines = plan(name, "--parameters", "70e9", width=80)
    shown = list(itertools.dropwhile(lambda line: not line.startswith("estimates:"), lines))
    assert not any("…" in line for line in shown)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (16.1e9, "16.1 GB"), (2.5e12, "2.5 TB"), (4e15, "4,000 TB")],
)
def test_amounts(size: float, text: str) -> None:
    assert amount(size) == text


# --- by the rates of another run -------------------------------------------------------------------------------------


def longer(run: SandboxRun, folder: Path) -> str:
    """A recipe like a run's, with ten times the prompts and five iterations."""
    data = run.recipe.model_dump(mode="json")
    data["prompts"]["per_iteration"], data["run"]["iterations"] = 960, 5
    (folder / "longer.yaml").write_text(yaml.safe_dump(data))
    return str(folder / "longer.yaml")


def test_hours_follow_from_a_run_of_the_same_kind(plan: Call, finished_root: SandboxRun, tmp_path: Path) -> None:
    lines = plan(longer(finished_root, tmp_path), "--from", finished_root.root)
    lines = lines[next(at for at, line in enumerate(lines) if line.startswith("hours of tasks")) :]
    taken = 0.0
    for unit in ("001/main/rollouts/00000", "002/main/rollouts/00000"):
        taken += finished_root.manifest(unit).seconds
    (rollout,) = (line for line in lines if line.startswith("rollout of all iterations, 9,600 responses"))
    assert float(rollout.split(": ")[1].split()[0]) == pytest.approx(taken * 9600 / 384 / 3600, rel=1e-2)
    assert f"s each, on 384 ({strftime('%Y-')}" in rollout
    assert [line.split()[0] for line in lines if "; measured: " in line] == [
        *("rollout", "judging", "logprobs", "training", "evaluation", "evaluation")
    ]


def test_what_a_run_of_another_kind_cannot_tell_is_assumed(
    plan: Call, finished_root: SandboxRun, tmp_path: Path
) -> None:
    recipe = longer(finished_root, tmp_path)
    lines = plan(recipe, "--from", finished_root.root, "--set", "training.epochs=5", "--parameters", "8e9", width=300)
    (training,) = (line for line in lines if line.startswith("training of all iterations"))
    assert training.endswith("h; assumed (training.epochs is 4 there and 5 here)")
    assert any(line.startswith("rollout of") and "; measured: " in line for line in lines)


def test_the_oracles_use_grows_with_the_comparisons(plan: Call, finished: SandboxRun, tmp_path: Path) -> None:
    unit = "iterations/001/main/pairs/00000.manifest.json"
    manifest = json.loads(finished.store.read(unit))
    manifest["metrics"] |= {"usage_calls": 512, "usage_cost": 2.56}
    finished.store.write(unit, json.dumps(manifest).encode())
    lines = plan(longer(finished, tmp_path), "--from", finished.root, width=300)
    known, planned = 2 * 96 + 3 * 32, 5 * 960 + 6 * 32
    used = f"{512 * planned / known:,.4g} calls, {2.56 * planned / known:,.4g} cost"
    assert lines[-1].startswith(f"sandbox oracle, {planned:,} comparisons; {used}: measured on {known} (")


def test_a_run_that_has_not_begun_measures_nothing(prepared_root: SandboxRun) -> None:
    with pytest.raises(UserError, match="no task of it is finished yet"):
        Measured.of(prepared_root.root)


def test_a_judge_over_the_network_takes_two_calls_a_comparison(plan: Call, tmp_path: Path) -> None:
    data = load_recipe("inpo-llama3-8b", [PROMPTS]).model_dump(mode="json")
    endpoint = {"url": "http://judge:8000/v1", "prices": {"input": 3.0, "output": 15.0}}
    data["oracle"] = {"kind": "llm_judge", "model": "judge", "request": {"max_tokens": 100}, "endpoint": endpoint}
    (tmp_path / "judged.yaml").write_text(yaml.safe_dump(data))
    lines = plan(str(tmp_path / "judged.yaml"), "--parameters", "8e9", width=200)
    (line,) = (line for line in lines if line.startswith("The oracle uses"))
    calls = 2 * (3 * 20_000 * 11 + 4 * 256)
    assert line.startswith(f"The oracle uses at most {calls:,.4g} calls, ")
    assert f", {calls * 100:,.4g} output tokens, " in line


# --- oracles beside the recipe's main one ----------------------------------------------------------------------------


def test_an_oracle_that_ranks_responses_reads_each_of_them_once() -> None:
    sets = ["prompts.per_iteration=10", "method.samples=8"]
    seeding = ["method.comparisons=seeded", "judging.seeding={kind: reward_model, model: /models/small}"]
    plain, seeded = (cost_of(load_recipe("inpo-llama3-8b", [*sets, *more]), 1, KNOWN) for more in ([], seeding))
    assert seeded.readings - plain.readings == 10 * 8
    prompt, response = KNOWN.prompt_tokens or 0, KNOWN.response_tokens or 0
    assert seeded.tokens - plain.tokens == pytest.approx(10 * 8 * (prompt + response))
    apart = 10 * 8 * 2 * (KNOWN.parameters or 0) * (prompt + response)
    hours = apart / (KNOWN.gpu_flops * KNOWN.utilisation * 3600)
    assert seeded.hours["judging"] - plain.hours["judging"] == pytest.approx(hours)
    assert work_of(load_recipe("inpo-llama3-8b", [*sets, *seeding]), 1).ranked == 10 * 28


def test_a_judge_that_the_run_fits_costs_its_training_and_its_measurement(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", 50)
    judge = f"{{kind: reward_model, model: /models/base, epochs: 2, data: {{path: {data}}}}}"
    recipe = load_recipe("inpo-llama3-8b", ["oracle.kind=fitted", f"oracle.judge={judge}"])
    costs = [cost_of(recipe, iteration, KNOWN) for iteration in (0, 1)]
    read = 2 * ((KNOWN.prompt_tokens or 0) + (KNOWN.response_tokens or 0))
    flops = (KNOWN.parameters or 0) * read * (6 * 2 * 40 + 2 * 10)
    assert costs[0].hours["judge_training"] == pytest.approx(flops / (KNOWN.gpu_flops * KNOWN.utilisation * 3600))
    assert costs[1].hours["judge_training"] == 0
    data.unlink()
    assert math.isnan(cost_of(recipe, 0, KNOWN).hours["judge_training"])
    assert "judge_training" not in cost_of(load_recipe("inpo-llama3-8b"), 0, KNOWN).hours
