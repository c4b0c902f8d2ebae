"""The gate on the sandbox world: what is promoted, what is not, and what is left where an attempt was killed."""

import json
import shutil
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from nashflow.components.core.errors import UserError
from nashflow.components.games.sandbox.enumeration import enumerate_policy
from nashflow.components.games.sandbox.texts import CONTEXT_NAMES, context_index, response_index, response_text
from nashflow.components.models.folders import load_causal_lm, load_tokenizer
from nashflow.components.models.weights import weights_digest
from nashflow.components.promotion import candidate
from nashflow.components.registry.champions import Registry
from nashflow.components.runtime import lock
from nashflow.components.runtime.protocol import Result
from nashflow.components.sampling.rollouts import Samplers
from nashflow.components.storage import layout
from nashflow.components.storage.records import COMPARISONS, ROLLOUTS
from nashflow.components.storage.units import Unit, require_manifest
from nashflow.pipelines.cli import main
from tests.fixtures.runs import SandboxRun, snapshot

from .conftest import ToGate


class Died(BaseException):
    """As a killed process does."""


def decide(run: SandboxRun) -> Result:
    return run.step("promotion", run.recipe.run.iterations)


def decision(run: SandboxRun) -> dict[str, Any]:
    decide(run)
    key = "report/promotion-dry-run.json" if run.recipe.promotion.dry_run else "report/promotion.json"
    said: dict[str, Any] = json.loads(run.store.read(key))
    return said


def champion() -> int | None:
    found = Registry.open("m").champion()
    return found and found.number


# --- who is promoted -------------------------------------------------------------------------------------------------


def test_the_first_candidate_has_to_beat_the_reference_and_becomes_champion(at_gate: ToGate, better: Path) -> None:
    run = at_gate("first", better)
    said = decision(run)
    assert (said["decision"], said["why"], said["version"]) == ("promoted", "better", 1)
    assert said["opponent"]["version"] is None
    assert said["looks"][-1]["low"] > 0.5
    assert said["figures"]["prompts"] == said["looks"][-1]["prompts"] < 256, "a large effect needs few comparisons"
    crowned = Registry.open("m").champion()
    assert crowned
    assert crowned.description.startswith(f"**Promoted**: {said['reason']}")
    assert crowned.digest == said["candidate"]["digest"]
    assert "<h1>m: promoted</h1>" in run.store.read("report/promotion.html").decode()


def test_a_worse_one_is_refused_and_an_equal_one_too(at_gate: ToGate, better: Path, reference: Path) -> None:
    at_gate("champion", better, champion=True)
    said = decision(at_gate("worse", reference))
    assert (said["decision"], said["why"], said["opponent"]["version"]) == ("refused", "worse", 1)
    assert (champion(), said["version"]) == (1, 2)
    same = decision(at_gate("same", better))
    assert (same["decision"], same["why"]) == ("refused", "same")
    assert same["reason"] == "it is the champion already, version 1"


def test_the_win_rate_is_that_of_the_comparisons(at_gate: ToGate, better: Path) -> None:
    run = at_gate("first", better)
    said = decision(run)
    (key,) = [key for key in run.store.list("promotion") if key.endswith("contest.manifest.json")]
    rows = require_manifest(run.store, key.removesuffix(layout.MANIFEST)).rows(run.store, COMPARISONS)
    assert said["figures"]["win_rate"] == pytest.approx(np.mean([row["probability"] for row in rows]))
    assert [row["index"] for row in rows] == list(range(said["figures"]["comparisons"]))
    assert len({row["row_id"] for row in rows}) == said["figures"]["prompts"]


def test_without_a_champion_the_first_is_promoted_at_once_where_that_is_wanted(
    at_gate: ToGate, reference: Path
) -> None:
    said = decision(at_gate("first", reference, {"promotion": {"model": "m", "first": "promote"}}))
    assert (said["decision"], said["why"], said["opponent"], champion()) == ("promoted", "first", {}, 1)


def test_a_dry_run_decides_and_leaves_the_registry(at_gate: ToGate, better: Path) -> None:
    run = at_gate("dry", better, {"promotion": {"model": "m", "dry_run": True}})
    said = decision(run)
    assert (said["decision"], said["dry_run"], said["version"]) == ("promoted", True, None)
    assert Registry.open("m").versions() == []
    real = run.changed(promotion={"model": "m"})
    before = run.store.list("promotion")
    assert decision(real)["version"] == champion() == 1
    assert {*run.store.list("promotion")} - {*before} == {"promotion/opponent.json"}, "nothing is compared again"


LONGER = """\
def longer(messages, first, second):
    return 0.5 + 0.4 * ((len(first) > len(second)) - (len(first) < len(second)))
"""


def test_a_policy_that_games_length_is_stopped_by_the_guard(
    at_gate: ToGate, longer: Path, prepared_root: SandboxRun, tmp_path: Path
) -> None:
    (tmp_path / "rules.py").write_text(LONGER)
    prompts = (" ".join(words) for words in product(CONTEXT_NAMES, repeat=3))
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    changes = {
        "oracle": {"kind": "rules", "function": f"{tmp_path}/rules.py:longer"},
        "policy": {"kind": "folder", "model": str(prepared_root.folder("000/main"))},
        "prompts": {"path": f"{tmp_path}/prompts.jsonl", "per_iteration": 96, "held_out": 256},
        "evaluation.benchmarks": ["head_to_head"],
        "rollout.max_new_tokens": 8,
        "promotion": {"model": "m", "guards": {"cut": None}},
    }
    said = decision(at_gate("gaming", longer, changes))
    assert said["looks"][-1]["low"] > 0.5, "the oracle falls for it"
    assert (said["decision"], said["why"]) == ("refused", "guarded")
    assert [guard["name"] for guard in said["guards"] if not guard["holds"]] == ["length"]
    assert "length is" in said["reason"]
    assert champion() is None
    unguarded = changes | {"promotion": {"model": "m", "guards": {"cut": None, "length": None}}}
    assert decision(at_gate("unguarded", longer, unguarded))["decision"] == "promoted"


def test_the_best_policy_is_chosen_on_other_prompts_than_it_is_judged_on(
    at_gate: ToGate, better: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"run": {"name": "best", "iterations": 2}, "promotion": {"model": "m", "candidate": "best"}}
    run = at_gate("best", better, changes)
    last = Unit(run.store, layout.policy(2, "main"), 1, {}, {})
    last.publish_folder(reference, {}, time.time(), weights_digest=weights_digest(reference))
    with monkeypatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI")  # which would be told of the other steps of the iterations
        for iteration in range(3):
            run.step("evaluation", iteration)
    said = decision(run)
    assert (said["decision"], said["candidate"]["iteration"]) == ("promoted", 1)
    call = run.call("promotion", 2)
    choosing, judging = ({prompt["row_id"] for prompt in half} for half in candidate._halves(call))
    (key,) = [key for key in run.store.list("promotion") if key.endswith("contest.manifest.json")]
    rows = require_manifest(run.store, key.removesuffix(layout.MANIFEST)).rows(run.store, COMPARISONS)
    assert {row["row_id"] for row in rows} <= judging
    assert not judging & choosing
    assert len(judging | choosing) == 256


def other_tokenizer(source: Path, folder: Path) -> Path:
    """The same policy, whose words have other numbers."""
    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    last = len(weights["lm_head.weight"]) - 1
    for name in ("lm_head.weight", "model.embed_tokens.weight"):
        weights[name] = weights[name].flip(0).contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {word: last - number for word, number in tokenizer["model"]["vocab"].items()}
    for added in tokenizer["added_tokens"]:
        added["id"] = last - added["id"]
    tokenizer["added_tokens"].sort(key=lambda added: added["id"])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    for path in (folder / name for name in ("config.json", "generation_config.json")):
        config = json.loads(path.read_text()) if path.exists() else {}
        config |= {key: last - config[key] for key in config if key.endswith("_token_id") and config[key] is not None}
        path.write_text(json.dumps(config))
    return folder


def test_a_champion_with_another_tokenizer_is_compared_by_its_texts(
    at_gate: ToGate, better: Path, prepared_root: SandboxRun, tmp_path: Path
) -> None:
    at_gate("champion", other_tokenizer(prepared_root.folder("000/main"), tmp_path / "other"), champion=True)
    run = at_gate("run", better)
    said = decision(run)
    assert (said["decision"], said["opponent"]["version"], champion()) == ("promoted", 1, 2)
    (key,) = [key for key in run.store.list("promotion") if key.endswith("contest.manifest.json")]
    rows = require_manifest(run.store, key.removesuffix(layout.MANIFEST)).rows(run.store, ROLLOUTS)
    theirs = [row for row in rows if row["role"] == "opponent"]
    ours = [row for row in rows if row["role"] == "pair"]
    assert theirs[0]["prompt_ids"] != ours[0]["prompt_ids"]
    assert sum(response_index(row["text"]) is not None for row in theirs) > 0.9 * len(theirs)


def test_figures_of_benchmarks_are_guarded_and_the_champions_are_as_its_own_run_measures_them(
    at_gate: ToGate, better: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt": name, "output": response_text(3 * place)} for place, name in enumerate(CONTEXT_NAMES)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    versus = {"kind": "versus", "data": f"{tmp_path}/answers.jsonl", "given": ["output"], "max_new_tokens": 3}
    measured = {"evaluation.benchmarks": ["head_to_head", versus]}
    holder = at_gate("champion", reference, measured, champion=True)
    guarded = {"model": "m", "guards": {"figures": {"versus/win_rate/sandbox": 0.01}}}
    run = at_gate("run", better, measured | {"promotion": guarded})
    own = {}
    for each in (holder, run):
        with monkeypatch.context() as patch:
            patch.delenv("MLFLOW_TRACKING_URI")  # which would be told of the other steps of the iteration
            each.step("evaluation", 0)
            each.step("evaluation", 1)
        unit = layout.evaluation(1, "versus/oracle/scores")
        own[each.root] = require_manifest(each.store, unit).metrics["versus/win_rate/sandbox"]
    guard = next(guard for guard in decision(run)["guards"] if guard["name"] == "versus/win_rate/sandbox")
    assert (guard["candidate"], guard["champion"]) == (own[run.root], own[holder.root])
    assert guard["holds"] == (guard["champion"] - guard["candidate"] <= 0.01)


# --- how often -------------------------------------------------------------------------------------------------------


@pytest.fixture
def exact_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are drawn from the policies' exact distributions, which is faster than token by token."""
    known: dict[Path, np.ndarray] = {}

    def sampled(self: Samplers, policies: Any, work: Any, *, role: Any, temperature: Any, seed: Any) -> Iterator[Any]:
        (folder,) = policies
        if folder not in known:
            known[folder] = np.exp(enumerate_policy(load_causal_lm(folder), load_tokenizer(folder)).log_policy)
        random = np.random.default_rng([abs(hash(each)) for each in seed])
        rows = []
        for prompt, index in work:
            text = response_text(int(random.choice(25, p=known[folder][context_index(prompt["messages"])])))
            tokens = {"prompt_ids": [0], "response_ids": [0, 0, 0], "logprob": []}
            place = {"row_id": prompt["row_id"], "sample": index, "role": role}
            rows.append({**place, **tokens, "text": text, "finish": "stop"})
        yield rows

    monkeypatch.setattr(Samplers, "sampled", sampled)


@pytest.mark.slow
@pytest.mark.usefixtures("exact_sampling")
@pytest.mark.parametrize("name", ["better", "reference", "worse"])
def test_two_hundred_times(
    name: str, at_gate: ToGate, better: Path, reference: Path, prepared_root: SandboxRun
) -> None:
    """A better one is promoted, an equal one is not in 95 % of repetitions, a worse one never."""
    there = better if name == "worse" else prepared_root.folder("000/main")
    at_gate("champion", there, champion=True)
    run = at_gate("run", better if name == "better" else reference)
    promoted = 0
    for seed in range(200):
        recipe = run.recipe.model_dump(mode="json")
        once = run.changed(run={**recipe["run"], "seed": seed}, promotion={"model": "m", "dry_run": True})
        promoted += decision(once)["decision"] == "promoted"
    print(f"{name}: {promoted} of 200 promoted")
    assert {"better": promoted == 200, "reference": promoted <= 10, "worse": promoted == 0}[name]


# --- killed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "point", ["crowned", *(pytest.param(point, marks=pytest.mark.runs) for point in ("register", "crown", "publish"))]
)
def test_killed_at_any_point_and_run_again_it_ends_in_one_state(
    point: str, at_gate: ToGate, better: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nashflow.components.promotion import gate

    run = at_gate("killed", better)

    def dying(*_: Any, **__: Any) -> Any:
        raise Died

    with monkeypatch.context() as patch:
        if point == "publish":
            patch.setattr(gate, "publish", dying)
        elif point == "crowned":
            crown = Registry.crown
            patch.setattr(Registry, "crown", lambda *given: (crown(*given), dying()))
        else:
            patch.setattr(Registry, point, dying)
        with pytest.raises(Died):
            decide(run)
    assert champion() == (1 if point in ("crowned", "publish") else None)
    with monkeypatch.context() as patch:
        patch.setattr(Samplers, "sampled", dying)  # nothing is sampled again
        said = decision(run)
    assert (said["decision"], said["why"], said["version"]) == ("promoted", "better", 1)
    assert said["opponent"]["version"] is None, "it met the reference, not itself"
    assert [version.number for version in Registry.open("m").versions()] == [champion()] == [1]


@pytest.mark.runs
def test_killed_amid_the_answers_it_goes_on_with_the_same_result(
    at_gate: ToGate, better: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASHFLOW_JOURNAL_SECONDS", "0")
    small = {"rollout.batch_size": 16}
    whole = decision(at_gate("whole", better, {**small, "promotion": {"model": "m", "dry_run": True}}))
    run = at_gate("run", better, small)
    sampled, given = Samplers.sampled, list[int]()

    def stopping(self: Samplers, policies: Any, work: Any, **options: Any) -> Iterator[Any]:
        for batch in sampled(self, policies, work, **options):
            if len(given) == 6:
                raise Died
            given.append(len(batch))
            yield batch

    def counting(self: Samplers, policies: Any, work: Any, **options: Any) -> Iterator[Any]:
        given.append(len(work))
        return sampled(self, policies, work, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Samplers, "sampled", stopping)
        with pytest.raises(Died):
            decide(run)
    monkeypatch.setattr(Samplers, "sampled", counting)
    assert decision(run)["figures"] == whole["figures"]
    assert sum(given) == 2 * whole["figures"]["prompts"], "nothing is sampled twice"


def test_a_run_that_has_decided_does_not_decide_again(at_gate: ToGate, better: Path, reference: Path) -> None:
    run = at_gate("first", better)
    said = decision(run)
    other = at_gate("other", reference, {"promotion": {"model": "m", "threshold": 0.0}})
    assert decision(other)["decision"] == "promoted"
    before = snapshot(run.root)
    again = decide(run)
    assert again.skipped
    assert snapshot(run.root) == before
    assert json.loads(run.store.read("report/promotion.json")) == said
    assert champion() == 2


# --- the command ------------------------------------------------------------------------------------------------------


def promote(run: SandboxRun, *options: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """What the command prints; to stderr where it fails."""
    lock.release(run.store, "by hand")  # of the steps, which ran without an orchestrator
    with mock.patch("sys.argv", ["nashflow", "promote", run.root, *options]), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def test_the_command_decides_about_todays_champion(
    at_gate: ToGate, better: Path, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = at_gate("first", reference, {"promotion": {"model": ""}})
    assert promote(run, capsys=capsys, code=2) == (
        "nashflow: the run's recipe names no registered model: give --model NAME\n"
    )
    first = promote(run, "--model", "m", "--set", "promotion.first=promote", capsys=capsys)
    assert first.startswith("iteration 1 of first promoted as version 1: there was no champion")
    other = at_gate("other", better)
    tried = json.loads(promote(other, "--dry-run", "--json", capsys=capsys))
    assert (tried["decision"], tried["opponent"]["version"], champion()) == ("promoted", 1, 1)
    assert "other promoted as version 2: win rate" in promote(other, capsys=capsys)
    assert champion() == 2
    assert "other promoted as version 2: win rate" in promote(other, capsys=capsys), "found, not decided again"
    assert "first refused: win rate" in promote(run, "--model", "m", capsys=capsys)
    assert champion() == 2


# --- refused ---------------------------------------------------------------------------------------------------------


def test_a_champion_that_is_not_what_was_registered_is_refused(at_gate: ToGate, better: Path, reference: Path) -> None:
    holder = at_gate("champion", better, champion=True)
    run = at_gate("run", reference)
    folder = holder.folder("001/main")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(UserError, match=r"changed since it was recorded") as caught:
        decide(run)
    assert len(str(caught.value).splitlines()) == 1
    assert not run.store.exists(f"{layout.PROMOTION}.manifest.json")
    assert champion() == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"promotion": {"model": "a/b"}}, "promotion.model: 'a/b' is no name of a registered model: leave out / :"),
        (
            {"promotion": {"model": "m", "candidate": "best"}, "evaluation.benchmarks": ["game"]},
            "promotion.candidate: best is chosen by the win rate against the reference: add head_to_head",
        ),
        (
            {"promotion": {"model": "m", "guards": {"figures": {"win_rate": 0.1}}}},
            "promotion.guards.figures: win_rate is no figure that a benchmark of evaluation.benchmarks measures of any",
        ),
        ({"promotion": {"model": "m", "treshold": 0.6}}, "did you mean promotion.threshold"),
    ],
)
def test_wrong_settings_are_said_in_one_line(changes: dict[str, Any], said: str) -> None:
    from tests.fixtures.runs import recipe

    with pytest.raises(UserError, match=said):
        recipe(changes)


def test_a_run_that_could_promote_nothing_ends_before_any_work(prepare: Any, surroundings: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="set MLFLOW_TRACKING_URI to the server that has it"):
        prepare({"promotion": {"model": "m"}})
