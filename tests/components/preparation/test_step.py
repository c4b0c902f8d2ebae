"""The preparation step: what it refuses, what it writes, and what a rerun and an extension change."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.preference import log_normalise
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.models.policies import open_policy
from nashflow.components.models.weights import weights_digest
from nashflow.components.runtime import lock
from nashflow.components.storage import recipes
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import open_store
from tests.fixtures import models
from tests.fixtures.folders import over
from tests.fixtures.runs import SandboxRun, log_policy, refusal, snapshot

New = Callable[..., SandboxRun]
PREPARATIONS_OWN = ("run.json", "lock/", "preparation.manifest.json", "preparation/")


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_prompts_leave_nothing_behind(fresh: New, folders: Path, tmp_path: Path) -> None:
    path = tmp_path / "inputs" / "prompts.jsonl"
    run = fresh(over(folders, prompts__path=str(path)), "runs/new")
    assert refusal(run) == (
        f"{path}: no such file; set prompts.path to a JSON, JSONL, CSV, Parquet or Arrow file of prompts, a folder or "
        "a pattern"
    )
    path.parent.mkdir()
    path.write_text('{"prompt": "one"}\n["two"]\n')
    line = f"{path}: line 2: a prompt is an object with the field 'prompt', not list"
    assert refusal(run) == f"{line}; correct the entry, or set prompts.on_bad to skip"
    path.write_text('{"prompt": "one"}\n{"prompt": ""}\n')
    assert refusal(run) == f"{path}: line 2: the prompt is empty; remove the entry, or set prompts.on_bad to skip"
    assert not (tmp_path / "runs").exists()


def drop_weights(folder: Path) -> str:
    (folder / "model.safetensors").unlink()
    return f"model folder {folder} has no *.safetensors weights: save it with save_pretrained"


def only_pickle(folder: Path) -> str:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return (
        f"model folder {folder} has no *.safetensors weights (has pytorch_model.bin: convert it): "
        "save it with save_pretrained"
    )


def add_pickle(folder: Path) -> str:
    (folder / "pytorch_model.bin").touch()
    return f"model folder {folder} holds pickle files, which can run code when read: remove ['pytorch_model.bin']"


def drop_template(folder: Path) -> str:
    (folder / "chat_template.jinja").unlink()
    return f"the tokenizer in {folder} has no chat template: add a chat_template.jinja to the folder"


def drop_folder(folder: Path) -> str:
    shutil.rmtree(folder)
    return f"model folder {folder} does not exist or is not a folder"


def unknown_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama-of-tomorrow"}))


def damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Clairvoyant"}}')


@pytest.mark.parametrize("part", ["policy", "oracle"])
@pytest.mark.parametrize("damage", [unknown_architecture, damaged_tokenizer])
def test_a_model_folder_that_transformers_cannot_open_is_refused(
    part: str, damage: Callable[[Path], None], fresh: New, folders: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folders / {"policy": "policy", "oracle": "reward"}[part], tmp_path / "copy"))
    damage(copy)
    line = refusal(fresh(over(folders, **{f"{part}__model": str(copy)})))
    assert line.startswith(f"model folder {copy} cannot be opened by transformers: ")


@pytest.mark.parametrize("part", ["policy", "oracle"])
@pytest.mark.parametrize("damage", [drop_weights, only_pickle, add_pickle, drop_template, drop_folder])
def test_a_model_folder_that_cannot_be_used_is_refused(
    part: str, damage: Callable[[Path], str], fresh: New, folders: Path, tmp_path: Path
) -> None:
    original = folders / {"policy": "policy", "oracle": "reward"}[part]
    copy = Path(shutil.copytree(original, tmp_path / "copy"))
    line = damage(copy)
    assert refusal(fresh(over(folders, **{f"{part}__model": str(copy)}))) == line


def test_a_judge_without_single_tokens_for_its_answers_is_refused(fresh: New, folders: Path, tmp_path: Path) -> None:
    judge = models.llama(tmp_path / "judge", ("A", "b", "c"))
    oracle = {"kind": "pair_preference", "model": str(judge)}
    assert refusal(fresh(over(folders, oracle=oracle))) == (
        f'"B" is not a single token of the tokenizer in {judge}: a pair preference model answers with the token A or '
        "B; set oracle.model to another folder"
    )


def test_a_classifier_cannot_answer_a_or_b(fresh: New, folders: Path) -> None:
    oracle = {"kind": "pair_preference", "model": str(folders / "reward")}
    assert refusal(fresh(over(folders, oracle=oracle))) == (
        f"oracle.model {folders / 'reward'} is a sequence classifier: set oracle.kind to reward_model"
    )


def test_too_few_prompts_that_fit_are_refused(fresh: New, folders: Path) -> None:
    path = folders / "prompts.jsonl"
    # 11 or 12 bytes, 3 special tokens and the BOS
    assert refusal(fresh(over(folders, prompts__max_tokens=16, prompts__held_out=14))) == (
        f"{path}: 40 entries, 14 prompts; left out: 26 too long, of which prompts.held_out = 14 are for evaluation: "
        "none is left to learn from; add prompts, lower prompts.held_out, or raise prompts.max_tokens or "
        "rollout.max_new_tokens"
    )


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "a method's constant": ({"method.eta": 0.25}, "method.eta is 0.5 there and 0.25 here"),
    "the seed": ({"run.seed": 7}, "run.seed is 0 there and 7 here"),
    "two keys": (
        {"training.epochs": 5, "prompts.per_iteration": 8},
        "prompts.per_iteration is 96 there and 8 here; training.epochs is 4 there and 5 here",
    ),
    "another method": (
        {"method": {"name": "iterative_dpo", "beta": 0.5}},
        "method.beta is absent there and 0.5 here; method.eta is 0.5 there and absent here; "
        "method.label_smoothing is absent there and 0.0 here; method.name is 'inpo' there and 'iterative_dpo' here; "
        "method.reference is absent there and 'moving' here; method.tau is 0.1 there and absent here",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_run_root_of_another_recipe_is_refused_with_what_differs(case: str, prepared: SandboxRun, fresh: New) -> None:
    changes, differing = OTHERS[case]
    other = SandboxRun(prepared.root, fresh(changes).recipe)
    assert refusal(other) == f"{prepared.root}: belongs to another recipe: {differing}; choose another run root"


def test_a_run_goes_on_with_settings_that_its_version_did_not_have(prepared: SandboxRun) -> None:
    """It was made as their defaults say; with another value it is another run."""
    run = require_run(prepared.store)
    older = json.loads(json.dumps(dict(run.recipe)))
    del older["training"]["weight_decay"]
    replace(run, recipe=older).write(prepared.store)
    line = refusal(prepared.changed(training__weight_decay=0.1))
    assert "training.weight_decay is 0.0 there and 0.1 here" in line
    prepared.step("preparation")
    assert require_run(prepared.store).recipe == run.recipe


def test_changed_inputs_under_the_same_names_are_another_recipe(fresh: New, folders: Path, tmp_path: Path) -> None:
    prompts, policy = tmp_path / "inputs" / "prompts.jsonl", tmp_path / "inputs" / "policy"
    shutil.copytree(folders / "policy", policy)
    shutil.copy(folders / "prompts.jsonl", prompts)
    run = fresh(over(folders, prompts__path=str(prompts), policy__model=str(policy)))
    run.step("preparation")
    prompts.write_text(prompts.read_text().replace("question 7", "question 77"))
    line = refusal(run)
    assert line.startswith(f"{run.root}: belongs to another recipe: digest of prompts is ")
    shutil.copy(folders / "judge" / "model.safetensors", policy)
    assert [part.split(" is ")[0] for part in refusal(run).removeprefix(f"{run.root}: belongs to ").split("; ")] == [
        "another recipe: digest of policy",
        "digest of prompts",
        "choose another run root",
    ]


def test_a_run_root_in_use_is_refused(prepared: SandboxRun) -> None:
    lock.acquire(prepared.store, "somebody else")
    line = refusal(prepared, job_id="mine")
    assert line.startswith(f"{prepared.root}: in use by the run somebody else on ")


# --- what it writes --------------------------------------------------------------------------------------------------


def test_the_reference_is_the_worlds(prepared_root: SandboxRun) -> None:
    target = make_world(WorldSettings()).log_target
    measured = log_policy(prepared_root.folder("000/main"))
    assert abs(log_normalise(measured) - target).max() < 0.3
    manifest = prepared_root.manifest("policies/000/main")
    assert manifest.weights_digest == weights_digest(prepared_root.folder("000/main"))


def test_run_json_says_what_the_run_is(prepared_root: SandboxRun) -> None:
    said = json.loads(prepared_root.store.read("run.json"))
    recipe = prepared_root.recipe.model_dump(mode="json")
    recipe.pop("cluster")
    assert said["recipe"] == recipe
    assert said["name"] == "small"
    assert sorted(said["inputs"]) == ["oracle", "policy", "prompts"]
    assert {"nashflow", "torch", "transformers", "numpy", "pyarrow"} <= said["versions"].keys()
    assert (len(said["identity"]), said["tracking"]) == (64, None)


def test_the_graph_gets_the_run_root_and_leave_to_go_on(prepared: SandboxRun) -> None:
    result = prepared.step("preparation")
    resolved = result.parameters["resolved"]
    assert result.parameters == {"resolved": resolved, "go": "true"}
    store, recipe = recipes.read(resolved)
    assert (store.uri, recipe) == (prepared.root, prepared.recipe.model_dump(mode="json"))
    assert result.metrics == {"prompts": 8, "iterations": 2}


def test_kubeflow_is_shown_the_reference_and_what_the_run_was_told(prepared: SandboxRun) -> None:
    artifacts = prepared.step("preparation").artifacts
    assert artifacts.keys() == {"reference", "settings"}
    manifest = prepared.manifest("policies/000/main")
    where = {"uri": f"{prepared.root}/policies/000/main", "digest": manifest.weights_digest}
    assert artifacts["reference"].metadata == where
    assert json.loads(artifacts["reference"].content)["files"] == manifest.to_json()["files"]
    told, shown = json.loads(artifacts["settings"].content), artifacts["settings"].metadata
    assert told["method.eta"] == shown["method.eta"] == 0.5
    assert told["judging.drop_identical"] is False
    assert (shown["judging.drop_identical"], shown["evaluation.benchmarks"]) == ("false", '["head_to_head", "game"]')
    assert all(isinstance(value, int | float | str) and not isinstance(value, bool) for value in shown.values())
    assert not any(key.startswith("cluster") for key in told)


def test_prompts_are_dealt_to_the_shards_of_every_iteration(fresh: New, folders: Path) -> None:
    run = fresh(over(folders))
    run.step("preparation")
    sharded = fresh(over(folders, prompts__shards=3), "sharded")
    sharded.step("preparation")
    held_out = run.rows("iterations/000/prompts/held_out", "prompts")
    assert [row["row_id"] for row in held_out] == [-1 - index for index in range(8)]
    seen = {row["messages"][0]["content"] for row in held_out}
    for iteration in (1, 2):
        rows = run.content("prompts", iteration)
        assert [row["row_id"] for row in rows] == list(range(10 * iteration - 10, 10 * iteration))
        assert sharded.content("prompts", iteration) == rows
        sizes = [len(sharded.rows(f"{iteration:03d}/prompts/{shard:05d}", "prompts")) for shard in range(3)]
        assert sizes == [3, 3, 4]
        contents = {row["messages"][0]["content"] for row in rows}
        assert len(contents) == 10
        assert not contents & seen
        seen |= contents


def test_long_prompts_are_left_out(fresh: New, folders: Path) -> None:
    run = fresh(over(folders, prompts__max_tokens=16))
    result = run.step("preparation")
    assert result.metrics["prompts"] == 14
    rows = run.content("prompts", 1) + run.content("prompts", 2)
    assert {row["messages"][0]["content"] for row in rows} <= {f"question {index}" for index in range(0, 40, 3)}


def test_parameters_of_the_pipeline_replace_the_recipes(fresh: New, folders: Path, tmp_path: Path) -> None:
    run = fresh(over(folders, prompts__path="nowhere.jsonl", policy__model="nowhere"))
    run.step("preparation", run_name="other", prompts=str(folders / "prompts.jsonl"), policy=str(folders / "policy"))
    said = json.loads(run.store.read("run.json"))
    assert said["name"] == said["recipe"]["run"]["name"] == "other"
    assert said["recipe"]["prompts"]["path"] == str(folders / "prompts.jsonl")
    assert said["recipe"]["policy"]["model"] == str(folders / "policy")
    line = refusal(fresh(over(folders), "another"), run_name="Not a name!")
    assert line.startswith("the pipeline's parameters: run.name: ")


# --- again -----------------------------------------------------------------------------------------------------------


def test_a_rerun_changes_nothing_but_its_own_notes(prepared: SandboxRun) -> None:
    before = snapshot(prepared.root)
    prepared.step("preparation")
    after = snapshot(prepared.root)
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert not [key for key in changed if not key.startswith((*PREPARATIONS_OWN, "recipes/"))]
    assert after["run.json"][1] == before["run.json"][1]


def test_an_extension_adds_iterations_and_changes_none(prepared: SandboxRun, fresh: New) -> None:
    before = snapshot(prepared.root)
    longer = SandboxRun(prepared.root, fresh({"run.iterations": 4}).recipe)
    longer.step("preparation")
    after = snapshot(prepared.root)
    changed = [key for key in before if before[key] != after.get(key)]
    assert not [key for key in changed if not key.startswith(PREPARATIONS_OWN)]
    assert len([key for key in after.keys() - before.keys() if key.startswith("recipes/")]) == 1
    assert {Path(key).parts[1] for key in after.keys() - before.keys() if key.startswith("iterations")} == {
        "003",
        "004",
    }
    assert json.loads(after["run.json"][1])["recipe"]["run"]["iterations"] == 4
    row_ids = [row["row_id"] for iteration in range(1, 5) for row in longer.content("prompts", iteration)]
    assert row_ids == list(range(4 * 96))


def test_what_only_looks_at_a_run_may_change(prepared: SandboxRun, fresh: New) -> None:
    prepared.step("preparation")
    other = SandboxRun(prepared.root, fresh({"evaluation.samples": 2, "evaluation.tau": 0.3}).recipe)
    other.step("preparation")
    assert json.loads(prepared.store.read("run.json"))["recipe"]["evaluation"]["tau"] == 0.3


def test_a_run_of_before_a_setting_came_goes_on_with_its_default(prepared: SandboxRun) -> None:
    whole = json.loads(prepared.store.read("run.json"))
    before = json.loads(prepared.store.read("run.json"))
    for section, setting in (("prompts", "on_bad"), ("prompts", "layout"), ("run", "threads"), ("training", "epochs")):
        before["recipe"][section].pop(setting)
    prepared.store.write("run.json", json.dumps(before).encode())
    with pytest.raises(UserError, match=r"recipe: training\.epochs is 2 there and 4 here; choose another run root$"):
        prepared.step("preparation")
    before["recipe"]["training"]["epochs"] = 4
    prepared.store.write("run.json", json.dumps(before).encode())
    prepared.step("preparation")
    assert json.loads(prepared.store.read("run.json")) == whole


def test_an_interrupted_preparation_is_finished_by_the_next(prepared: SandboxRun) -> None:
    whole = snapshot(prepared.root)
    for key in ("run.json", "preparation.manifest.json", "iterations/002/prompts/00000.manifest.json"):
        prepared.store.delete(key)
    prepared.step("preparation")
    again = snapshot(prepared.root)
    assert {key for key in again if "lock/" not in key} == {key for key in whole if "lock/" not in key}
    assert again["run.json"][1] == whole["run.json"][1]
    assert all(again[key] == whole[key] for key in whole if key.startswith("policies"))


# --- the reference in a folder ---------------------------------------------------------------------------------------


def test_a_policy_folder_is_pointed_to_and_watched(fresh: New, folders: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(folders / "policy", tmp_path / "model"))
    run = fresh(over(folders, policy__model=str(model)))
    run.step("preparation")
    assert run.store.list("policies") == ["policies/000/main.manifest.json"]
    opened = open_policy(run.store, "000/main")
    assert (opened.folder, opened.weights_digest) == (model, weights_digest(model))
    config = model / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(UserError) as caught:
        open_policy(run.store, "000/main")
    assert str(caught.value) == f"{config}: changed since it was recorded; restore it or delete the run"


def test_a_policy_folder_can_be_copied(fresh: New, folders: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(folders / "policy", tmp_path / "model"))
    policy = {"kind": "folder", "model": str(model), "copy_files": True}
    run = fresh(over(folders, policy=policy))
    run.step("preparation")
    shutil.rmtree(model)
    opened = open_policy(run.store, "000/main")
    assert opened.weights_digest == weights_digest(opened.folder) == weights_digest(folders / "policy")
    assert Path(run.root) in opened.folder.parents
    assert {path.name for path in opened.folder.iterdir()} == {path.name for path in (folders / "policy").iterdir()}


def test_a_policy_that_preparation_made_is_made_once(prepare: New, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("the reference is there already")

    monkeypatch.setattr("nashflow.components.preparation.policy.make_reference", forbidden)
    prepare()


def test_a_run_can_be_prepared_on_s3(
    prepare: New, prepared_root: SandboxRun, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path / "cache"))
    run = prepare(root=f"{s3_bucket}/runs/small")
    assert run.step("preparation").parameters["resolved"].startswith(f"{s3_bucket}/runs/small/recipes/")
    without_lock = [{key for key in each.store.list() if "lock/" not in key} for each in (run, prepared_root)]
    assert without_lock[0] == without_lock[1]
    assert run.content("prompts", 2) == prepared_root.content("prompts", 2)
    assert (
        open_policy(run.store, "000/main").weights_digest == prepared_root.manifest("policies/000/main").weights_digest
    )
    with pytest.raises(UserError, match="belongs to another recipe: method\\.eta is 0\\.5 there and 0\\.3 here"):
        SandboxRun(run.root, run.changed(method={"name": "inpo", "eta": 0.3, "tau": 0.1}).recipe).step("preparation")
    with pytest.raises(UserError):  # the log-prob cache lies beside the run roots, and above a bucket is nothing
        SandboxRun(s3_bucket, run.recipe).step("preparation")
    assert open_store(f"{s3_bucket}/runs").list() == [f"small/{key}" for key in run.store.list()]
