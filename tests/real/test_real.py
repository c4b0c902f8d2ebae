"""The whole pipeline on real input: AlpacaEval's instructions, a model folder, a judge trained on human preferences."""

import html
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
import pytest

from nashflow.components.fitting.order import batches
from nashflow.components.iterations.units import Shape
from nashflow.components.methods.phases import Phase
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_classifier, load_tokenizer
from nashflow.components.oracles.base import Query
from nashflow.components.oracles.fitted.fitting import RewardFitting
from nashflow.components.oracles.fitted.labelled import read_labelled
from nashflow.components.oracles.reward_model.settings import RewardModel
from nashflow.components.reports.answers import sample_answers
from nashflow.components.storage import layout
from nashflow.components.storage.records import Record
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import open_store
from nashflow.components.storage.units import Manifest, require_manifest
from nashflow.components.training.data import PairData, load
from nashflow.pipelines.plan import planned_tasks
from nashflow.pipelines.recipe import Recipe, load_judge
from tests.fixtures import cli
from tests.fixtures.runs import RECORDS
from tests.real.places import JUDGE, NEEDS_DATA, NEEDS_SMOLLM2, NEEDS_TINY_MODEL, SMOLLM2

HERE = Path(__file__).parent
TINY = "${NASHFLOW_MODELS}/tiny-llama-7m-chat"
SMALL = (
    f"policy.model={TINY}",
    "oracle.kind=pair_preference",
    f"oracle.model={TINY}",  # a language model that says A or B, though not for a reason
    "run.iterations=1",
    "run.threads=1",
    "prompts.max_tokens=256",
    "prompts.per_iteration=8",
    "prompts.held_out=8",
    "method.samples=4",
    "rollout.max_new_tokens=16",
    "rollout.batch_size=64",
    "training.learning_rate=1.0e-4",
    "training.epochs=1",
    "training.batch_size=4",
)

pytestmark = NEEDS_DATA


@dataclass(frozen=True)
class RealRun:
    """A run of the recipe: where it lies, and what is set besides."""

    root: Path
    sets: tuple[str, ...]

    def run(self) -> str:
        """Run or resume it by the real command; what it prints."""
        arguments = ("run", str(HERE / "real.yaml"), "--run-root", str(self.root))
        return cli.call(*arguments, sets=self.sets, OMP_WAIT_POLICY="PASSIVE").stdout

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe as the run has recorded it."""
        return Recipe.parse(dict(require_run(open_store(str(self.root))).recipe), "run.json")

    def manifest(self, unit: str) -> Manifest:
        return require_manifest(open_store(str(self.root)), unit)

    def rows(self, unit: str, kind: str) -> list[dict[str, Any]]:
        """The records of a unit."""
        record: Record[Any] = RECORDS[kind]
        return self.manifest(unit).rows(open_store(str(self.root)), record)

    def shard(self, iteration: int, step: str) -> str:
        return layout.shard(iteration, "main", step, 0)

    def training(self, iteration: int) -> tuple[Phase, PairData, dict[str, Any]]:
        """The phase, its pairs with the cached log-probs, and what training says of itself."""
        (phase,) = self.recipe.method.phases(iteration)
        units = [[self.manifest(self.shard(iteration, step))] for step in ("pairs", "logprobs")]
        metrics = dict(self.manifest(layout.policy(iteration, "main")).metrics)
        return phase, load(open_store(str(self.root)), phase, *units), metrics

    @property
    def iterations(self) -> range:
        return range(1, self.recipe.run.iterations + 1)


def check(run: RealRun) -> None:
    """Everything that holds for a finished run, whatever its size."""
    check_summary(run)
    for iteration in run.iterations:
        check_responses(run, iteration)
        check_tournaments(run, iteration)
        check_first_update(run, iteration)
    check_answers(run)


def check_summary(run: RealRun) -> None:
    summary = cli.summary(run.root)
    assert summary["run"] == "real"
    assert [policy["index"] for policy in summary["policies"]] == [0, *run.iterations]
    assert len({policy["digest"] for policy in summary["policies"]}) == len(summary["policies"])
    assert [row["iteration"] for row in summary["iterations"]] == [0, *run.iterations]
    for row in summary["iterations"]:
        assert 0.0 <= row["win_rate_low"] < row["win_rate"] < row["win_rate_high"] <= 1.0
        assert 0.0 < row["mean_length"] <= run.recipe.rollout.max_new_tokens
        assert row["kl"] is None if run.recipe.evaluation.temperature != 1 else np.isfinite(row["kl"])
    steps = {"rollout", "judging", "logprobs", "training", "evaluation"}
    assert all(set(row["seconds"]) == steps for row in summary["iterations"][1:])


def check_responses(run: RealRun, iteration: int) -> None:
    """K responses to each prompt, which is rendered as the tokenizer itself does; no response over the limit."""
    tokenizer = load_tokenizer(Path(run.recipe.policy.model))
    prompts = run.rows(layout.prompts(iteration, 0), "prompts")
    rows = run.rows(run.shard(iteration, "rollouts"), "rollouts")
    samples = run.recipe.method.samples
    assert len(prompts) == run.recipe.prompts.per_iteration
    assert [(row["row_id"], row["sample"]) for row in rows] == [
        (prompt["row_id"], sample) for prompt in prompts for sample in range(samples)
    ]
    messages = {prompt["row_id"]: prompt["messages"] for prompt in prompts}
    for row in rows:
        rendered = tokenizer.apply_chat_template(messages[row["row_id"]], add_generation_prompt=True, return_dict=False)
        assert row["prompt_ids"] == rendered
        assert 1 <= len(row["response_ids"]) <= run.recipe.rollout.max_new_tokens
        assert (row["response_ids"][-1] == tokenizer.eos_token_id) == (row["finish"] == "stop")
        assert row["text"] == tokenizer.decode(row["response_ids"], skip_special_tokens=True)
    assert len({row["text"] for row in rows}) > len(rows) / 2


def check_tournaments(run: RealRun, iteration: int) -> None:
    """3K/2 - 1 comparisons a prompt, at most one pair, whose probability the same comparisons gave."""
    prompts, samples = run.recipe.prompts.per_iteration, run.recipe.method.samples
    compared = run.rows(run.shard(iteration, "pairs"), "comparisons")
    pairs = run.rows(run.shard(iteration, "pairs"), "pairs")
    row = cli.summary(run.root)["iterations"][iteration]
    assert row["comparisons"] == len(compared) == (3 * samples // 2 - 1) * prompts
    assert row["oracle_calls"] <= len(compared)
    assert 0 < row["pairs"] == len(pairs) <= prompts
    assert len({pair["row_id"] for pair in pairs}) == len(pairs)
    for each in compared:
        assert each["probability"] == pytest.approx((each["forward"] + each["backward"]) / 2, abs=1e-12)
    final = {each["row_id"]: each for each in compared}
    for pair in pairs:
        assert {pair["chosen"], pair["rejected"]} == {final[pair["row_id"]][side] for side in ("first", "second")}
        assert pair["probability"] >= 0.5
        assert (pair["chosen_label"], pair["rejected_label"]) == (1.0, -1.0)


def check_first_update(run: RealRun, iteration: int) -> None:
    """At step 0, h = (1 - w_t) D_t - w_ref D_ref: what training saw live equals what the cache says."""
    phase, data, metrics = run.training(iteration)
    scale = float(np.mean([np.abs(values) for values in data.anchors.values()]))
    assert metrics["cache_mismatch"] <= 1e-5 * scale
    margins = {name: values[:, 0] - values[:, 1] for name, values in data.anchors.items()}
    weights, current = phase.weights, str(phase.start_from)
    h = margins[current] - sum(weights[name] * margins[name] for name in weights)
    size = run.recipe.training.batch_size
    first = next(batches(len(data), size, metrics["updates"], run.recipe.run.seed, iteration, "main"))
    assert abs(metrics["h_first"] - h[first].mean()) <= 1e-5 * 2 * scale
    assert metrics["loss_first"] == pytest.approx(((h[first] - phase.target) ** 2).mean(), rel=1e-3)
    assert metrics["updates"] == run.recipe.training.epochs * -(-len(data) // size)


def check_answers(run: RealRun) -> None:
    """The report shows held-out prompts with the reference's answer and the last policy's."""
    page = (run.root / "report/report.html").read_bytes().decode()  # line ends as they were sampled
    (table,) = re.findall(r'<table class="text answers">.*?</table>', page, re.DOTALL)
    cells = [text_of(cell) for cell in re.findall(r"<td\b[^>]*>(.*?)</td>", table, re.DOTALL)]
    shown = [tuple(cells[at : at + 3]) for at in range(0, len(cells), 4)]
    prompts = {row["row_id"]: row["messages"][0]["content"].strip() for row in run.rows(layout.held_out(), "prompts")}
    texts: dict[str, dict[str, str]] = {"opponent": {}, "pair": {}}
    for iteration, part, role in ((0, "opponents", "opponent"), (run.iterations[-1], "responses", "pair")):
        for row in run.rows(layout.evaluation(iteration, part), "rollouts"):
            assert row["role"] == role
            texts[role][prompts[row["row_id"]]] = row["text"].strip()
    assert len(shown) == 8
    for prompt, reference, policy in shown:
        assert (reference, policy) == (texts["opponent"][prompt], texts["pair"][prompt])
    assert sum(bool(reference and policy) for _, reference, policy in shown) > 4


def text_of(cell: str) -> str:
    """What a reader sees of a piece of HTML."""
    return html.unescape(re.sub(r"<[^>]+>", "", cell)).strip()


def check_again(run: RealRun) -> None:
    """The same command again redoes nothing and says the same."""
    before, summary = cli.records(run.root), cli.summary(run.root)
    printed = run.run()
    again = len(planned_tasks(run.recipe)) - 2  # preparation always looks, and closing closes
    assert printed.count("finished before") == again
    assert cli.records(run.root) == before
    assert cli.summary(run.root) == summary


@pytest.mark.runs
@NEEDS_TINY_MODEL
def test_a_small_run_on_real_input(tmp_path: Path) -> None:
    run = RealRun(tmp_path / "run", SMALL)
    run.run()
    check(run)
    check_again(run)


@pytest.fixture(scope="module")
def judge() -> dict[str, Any]:
    """The judge's figures; it is made, unless it is there."""
    import torch

    fast = torch.cpu.get_capabilities().get("avx512_bf16", False)
    sets = (f"model={SMOLLM2}", f"dtype={'bfloat16' if fast else 'float32'}")
    arguments = ("judge", "train", str(HERE / "judge.yaml"), "--output", str(JUDGE), "--json")
    with timed("judge"):
        figures: dict[str, Any] = json.loads(cli.call(*arguments, sets=sets, OMP_WAIT_POLICY="PASSIVE").stdout)
    print(figures["verdict"])
    return figures


@pytest.mark.real
@NEEDS_SMOLLM2
def test_the_judge_agrees_with_humans_more_often_than_length_does(judge: dict[str, Any]) -> None:
    assert judge["pairs"] > 400
    assert judge["accuracy"]["low"] > 0.5
    assert judge["over_length"]["low"] > 0


@pytest.mark.real
@NEEDS_SMOLLM2
@pytest.mark.usefixtures("judge")
def test_the_oracle_reads_what_the_judge_was_trained_on() -> None:
    """Rewards of the training's token ids, one by one, give the oracle's probabilities."""
    import torch

    settings = load_judge(HERE / "judge.yaml")
    pairs = read_labelled(settings.data, settings.held_out, settings.seed).held_out[:5]
    dialogues, model = Dialogues(load_tokenizer(JUDGE)), load_classifier(JUDGE)
    verdicts = RewardModel(model=str(JUDGE)).load().compare([Query(*pair) for pair in pairs])
    for pair, verdict in zip(pairs, verdicts, strict=True):
        with torch.no_grad():
            chosen, rejected = (model(torch.tensor([ids])).logits[0] for ids in RewardFitting.read(dialogues, pair))
        assert verdict.probability == pytest.approx(float((chosen - rejected).sigmoid()), abs=1e-5)


@pytest.mark.real
@NEEDS_SMOLLM2
@pytest.mark.usefixtures("judge")
def test_two_iterations_of_a_real_model(tmp_path: Path) -> None:
    run = RealRun(tmp_path / "run", (f"policy.model={SMOLLM2}", f"oracle.model={JUDGE}"))
    with timed("run"):
        printed = run.run()
    print(printed)
    print_answers(run)
    check(run)
    assert cli.summary(run.root)["iterations"][-1]["win_rate"] > 0.5
    with timed("the same command again"):
        check_again(run)


def print_answers(run: RealRun) -> None:
    """Answers to held-out prompts before and after, with the judge's preference."""
    store = open_store(str(run.root))
    for answer in sample_answers(store, Shape.of(require_run(store)), run.iterations[-1]):
        print(f"\n{answer.messages[-1]['content']}")
        print(indent(answer.reference, "  before | ", lambda _: True))
        print(indent(answer.policy, "  after  | ", lambda _: True))
        print(f"  the judge prefers the second with probability {answer.probability:.2f}")


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long a block took."""
    started = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - started:.0f} s", flush=True)
