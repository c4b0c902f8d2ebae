"""A run that starts from a champion of MLflow's registry, with the same reference or one that is apart."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from nashflow.components.core.errors import UserError
from nashflow.components.games.preference import Game, duality_gap, log_normalise
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.games.updates import mirror_step
from nashflow.components.models.policies import open_policy
from nashflow.components.preparation.step import check
from nashflow.components.recipe import Recipe
from nashflow.components.registry.champions import Registry
from nashflow.components.storage.run import require_run
from tests.components.registry.conftest import crowned
from tests.fixtures.runs import SandboxRun, log_policy, recipe

New = Callable[..., SandboxRun]
CHAMPION = "models:/m@champion"
ETA, TAU = 0.5, 0.1


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path / "machine"))
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}")
    return Registry.open("m")


def started(
    fresh: New, model: str = CHAMPION, reference: str = "", root: str = "onwards", **changes: Any
) -> SandboxRun:
    policy = {"kind": "folder", "model": model, "reference": reference}
    return fresh({"policy": policy, "run.iterations": 1, **changes}, root)


def prepared(run: SandboxRun) -> SandboxRun:
    """The run after its preparation, with the recipe that its other steps read."""
    run.step("preparation")
    return SandboxRun(run.root, Recipe.parse(require_run(run.store).recipe, "test"))


def digests(run: SandboxRun) -> dict[str, str]:
    return {name: open_policy(run.store, f"000/{name}").weights_digest for name in ("main", "reference")}


def refused(run: SandboxRun) -> str:
    with pytest.raises(UserError) as caught:
        check(run.recipe, run.store)
    (line,) = str(caught.value).splitlines()
    return line


def test_a_run_keeps_the_version_that_it_found(fresh: New, finished: SandboxRun, registry: Registry) -> None:
    crowned(registry, finished.store, "001/main")
    run = started(fresh)
    run.step("preparation")
    found = require_run(run.store)
    first = open_policy(finished.store, "001/main").digest
    assert (found.recipe["policy"]["model"], found.inputs["policy"]) == ("models:/m/1", first)
    assert open_policy(run.store, "000/main").digest == first
    assert [finished.store.read(key).decode() for key in finished.store.list("policies/001/main.claims")] == [run.root]
    crowned(registry, finished.store, "002/main")
    run.step("preparation")
    assert require_run(run.store).recipe == found.recipe
    started(fresh, "models:/m/1").step("preparation")
    assert require_run(run.store).identity == found.identity
    other = started(fresh, root="other")
    other.step("preparation")
    assert require_run(other.store).recipe["policy"]["model"] == "models:/m/2"


def test_before_there_is_a_champion_it_starts_from_the_reference(
    fresh: New, finished: SandboxRun, registry: Registry
) -> None:
    assert "models:/m@champion: there is none; versions there are: none" in refused(started(fresh))
    start = f"run:{finished.root}@0"
    run = started(fresh, reference=start)
    run.step("preparation")
    alone = started(fresh, start, root="alone")
    alone.step("preparation")
    assert require_run(run.store).identity == require_run(alone.store).identity
    assert "reference_apart" not in require_run(run.store).recipe["method"]
    crowned(registry, finished.store, "001/main")
    run.step("preparation")
    assert require_run(run.store).identity == require_run(alone.store).identity


def test_a_champion_that_is_gone_or_changed_is_refused(fresh: New, finished: SandboxRun, registry: Registry) -> None:
    crowned(registry, finished.store, "001/main")
    crowned(registry, finished.store, "002/main")
    manifest = json.loads(finished.store.read("policies/002/main.manifest.json"))
    changed = json.dumps({**manifest, "weights_digest": "0" * 64}).encode()
    finished.store.write("policies/002/main.manifest.json", changed)
    assert "policy.model models:/m@champion: " not in (line := refused(started(fresh)))
    assert line.startswith("policy.model models:/m/2: models:/m/2: was registered with weights of digest")
    MlflowClient(registry._client.tracking_uri).delete_model_version("m", "2")
    assert "nashflow rollback m makes version 1" in refused(started(fresh))


def test_a_reference_of_the_same_weights_changes_nothing(fresh: New, finished: SandboxRun, registry: Registry) -> None:
    crowned(registry, finished.store, "001/main")
    again = SandboxRun(str(Path(finished.root).parent / "again"), finished.recipe)
    finished.copied(again.root)
    trained = []
    for root, reference in (("alone", ""), ("both", f"run:{again.root}@1")):
        run = prepared(started(fresh, reference=reference, root=root))
        run.data(1)
        run.step("training", 1)
        trained.append([run.content(kind, 1) for kind in ("rollouts", "pairs", "logprobs")])
        trained[-1].append(open_policy(run.store, "001/main").weights_digest)
        assert not run.store.exists("policies/000/reference.manifest.json")
    assert trained[0] == trained[1]


def test_anchors_and_figures_are_of_the_reference_apart(fresh: New, finished: SandboxRun, registry: Registry) -> None:
    """By exact numbers: every pair's anchors, the exact iterate of the method, and KL and win rate of the start."""
    crowned(registry, finished.store, "002/main")
    run = prepared(
        started(fresh, reference=f"run:{finished.root}@0", **{"evaluation.benchmarks": ["head_to_head", "game"]})
    )
    assert digests(run) == {
        "main": open_policy(finished.store, "002/main").weights_digest,
        "reference": open_policy(finished.store, "000/main").weights_digest,
    }
    assert run.phase(1).weights == pytest.approx({"000/main": 1 - TAU / ETA, "000/reference": TAU / ETA})
    assert run.phase(2).weights == pytest.approx({"001/main": 1 - TAU / ETA, "000/reference": TAU / ETA})
    run.step("evaluation", 0)
    run.iterate(1)
    exact = {
        name: log_policy(finished.folder(f"{policy}/main")) for name, policy in (("main", "002"), ("reference", "000"))
    }

    pairs = {(row["row_id"], row["pair"]): row for row in run.content("pairs", 1)}
    prompts = {row["row_id"]: row["messages"][0]["content"] for row in run.content("prompts", 1)}
    texts = {(row["row_id"], row["sample"]): row["text"] for row in run.content("rollouts", 1)}
    number = {f"{one}{two}": 5 * i + j for i, one in enumerate("abcde") for j, two in enumerate("abcde")}

    def expected(row: dict[str, Any], side: str) -> float:
        pair = pairs[row["row_id"], row["pair"]]
        text = texts[row["row_id"], pair[side]].replace(" ", "")
        return float(exact[row["policy"].partition("/")[2]][int(prompts[row["row_id"]][1:]), number[text]])

    scored = run.content("logprobs", 1)
    assert {row["policy"] for row in scored} == {"000/main", "000/reference"}
    for side in ("chosen", "rejected"):
        np.testing.assert_allclose([row[side] for row in scored], [expected(row, side) for row in scored], atol=1e-5)

    matrix = make_world(WorldSettings()).matrix
    start, reference = (log_normalise(exact[name]) for name in ("main", "reference"))
    first, after = (run.manifest(f"00{t}/evaluation/game/00000").metrics for t in (0, 1))
    assert first["kl"] == pytest.approx(float((np.exp(start) * (start - reference)).sum(1).mean()), abs=1e-6)
    rate = np.einsum("ci,cij,cj->c", np.exp(start), matrix, np.exp(reference)).mean()
    assert first["win_rate_exact"] == pytest.approx(rate, abs=1e-6)
    game = Game(matrix, reference, TAU)
    step = mirror_step(game, start, start, 1 / ETA)
    assert first["duality_gap_exact"] == pytest.approx(float(duality_gap(game, start).mean()), abs=1e-6)
    assert after["duality_gap_exact"] == pytest.approx(float(duality_gap(game, step).mean()), abs=1e-6)
    opponents = run.manifest("000/evaluation/opponents/00000")
    assert opponents.inputs["policy"] == open_policy(run.store, "000/reference").digest


def test_a_reference_of_another_tokenizer_is_refused(fresh: New, finished: SandboxRun, tmp_path: Path) -> None:
    other = shutil.copytree(finished.folder("000/main"), tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    line = refused(started(fresh, f"run:{finished.root}@1", str(other)))
    assert line.startswith(f"policy.reference: the tokenizer of {other} is another one than that of ")
    assert "token 14 is " in line


def test_names_of_a_reference_are_refused_as_its_own(fresh: New, finished: SandboxRun) -> None:
    line = refused(started(fresh, f"run:{finished.root}@1", f"run:{finished.root}@7"))
    assert line.startswith(f"policy.reference run:{finished.root}@7: ")


def test_both_stay_and_are_told_to_mlflow(fresh: New, finished: SandboxRun, registry: Registry) -> None:
    run = prepared(started(fresh, f"run:{finished.root}@2", f"run:{finished.root}@1"))
    for policy in ("001", "002"):
        claims = finished.store.list(f"policies/{policy}/main.claims")
        assert [finished.store.read(key).decode() for key in claims] == [run.root]
    run.step("evaluation", 0)
    parent = (require_run(run.store).tracking or {})["experiment"]
    models = MlflowClient(registry._client.tracking_uri).search_logged_models([parent])
    assert {model.tags["nashflow.weights"] for model in models} == set(digests(run).values())


def test_every_method_has_its_reference_apart() -> None:
    """Nobody regresses on, or samples, the policy that training starts from where the reference is meant."""
    methods = {
        "inpo": {"eta": ETA, "tau": TAU},
        "mnpo": {"eta": ETA, "tau": TAU},
        "nash_md": {"eta": ETA, "tau": TAU},
        "egpo": {"eta": ETA, "beta": TAU},
        "online_ipo": {"tau": TAU, "updates": 3},
        "iterative_dpo": {"beta": 1.0, "reference": "fixed"},
    }
    for name, constants in methods.items():
        policy = {"kind": "folder", "model": "/a", "reference": "/b"}
        apart = recipe({"method": {"name": name, **constants}, "policy": policy}).method
        alone = recipe({"method": {"name": name, **constants}}).method
        for t in (1, 2, 5):
            for ours, theirs in zip(apart.phases(t), alone.phases(t), strict=True):
                joined = dict(ours.weights)
                weight = joined.pop("000/reference")
                joined["000/main"] = joined.get("000/main", 0.0) + weight
                assert joined == pytest.approx(theirs.weights), name
                assert ours.start_from == theirs.start_from
