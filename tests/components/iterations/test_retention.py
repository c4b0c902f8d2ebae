"""What is deleted when an iteration is done, and that a run goes on, is resumed and reported all the same."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from nashflow.components.core.errors import UserError
from nashflow.components.iterations.retention import retain
from nashflow.components.models.named import copy_to, find
from nashflow.components.models.policies import open_policy
from nashflow.components.preparation.step import check
from nashflow.components.reports.files import report_unit
from nashflow.components.reports.page import render
from nashflow.components.reports.summary import summarise
from nashflow.components.storage.run import require_run
from nashflow.components.storage.units import only_asking, require_manifest
from nashflow.components.tracking.opening import Tracking
from tests.fixtures.runs import SandboxRun, copy_files, recipe, remove, snapshot

KEEPS = {"run.iterations": 3, "run.keep": "last 1", "prompts.per_iteration": 32, "evaluation.benchmarks": ["game"]}
ROUNDED = {"training.save_dtype": "bfloat16", "training.epochs": 1}
STEPS = ("rollout", "judging", "logprobs", "training")


@pytest.fixture(scope="module")
def kept_root(prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> SandboxRun:
    """A run of three iterations that keeps the last policy, saved rounded. Not to be written to."""
    run = SandboxRun(str(tmp_path_factory.mktemp("kept") / "run"), recipe({**KEEPS, **ROUNDED}))
    copy_files(prepared_root.store, run.store, "policies/000")
    run.step("preparation")
    run.step("evaluation", 0)
    for iteration in (1, 2, 3):
        run.iterate(iteration)
    return run


@pytest.fixture
def kept(kept_root: SandboxRun, tmp_path: Path) -> SandboxRun:
    return kept_root.copied(str(tmp_path / "kept" / "run"))


def folders(run: SandboxRun, kind: str) -> set[str]:
    """The policies, or masters, that have files: `001/main`."""
    return {"/".join(key.split("/")[1:3]) for key in run.store.list(kind) if key.endswith(".safetensors")}


def test_of_old_policies_the_manifest_stays_alone(kept_root: SandboxRun) -> None:
    assert folders(kept_root, "policies") == {"000/main", "003/main"}
    assert folders(kept_root, "masters") == {"003/main"}
    assert {kept_root.manifest(f"policies/{t:03d}/main").weights_digest for t in range(4)}
    assert not kept_root.store.exists("masters/002/main.manifest.json")


def test_policies_that_are_gone_are_not_to_be_measured_anew(kept: SandboxRun) -> None:
    before = snapshot(kept.root)
    other = recipe({**KEEPS, **ROUNDED, "evaluation.tau": 0.2})
    said = r"evaluation.tau was 0.1 and is 0.2 now, .* of iterations 1, 2, are not kept .*: set it back"
    with pytest.raises(UserError, match=said):
        check(other, kept.store)
    assert snapshot(kept.root) == before


def test_nothing_is_done_again(kept: SandboxRun) -> None:
    before = snapshot(kept.root)
    for asking in (True, False):
        for iteration in (1, 2, 3):
            for step in STEPS:
                if asking:
                    with only_asking():
                        assert kept.step(step, iteration).skipped
                else:
                    assert kept.step(step, iteration).skipped
            assert kept.step("evaluation", iteration).skipped
    assert snapshot(kept.root) == before


def test_it_can_be_extended(kept: SandboxRun) -> None:
    longer = kept.changed(run__iterations=4)
    longer.step("preparation")
    longer.iterate(4)
    assert folders(longer, "policies") == {"000/main", "004/main"}
    assert folders(longer, "masters") == {"004/main"}


def test_in_s3_too(kept_root: SandboxRun, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training that goes on starts from the master there, as on a disk."""
    here, there = kept_root.copied(str(tmp_path / "here")), kept_root.copied(f"{s3_bucket}/runs/there")
    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path / "machine"))
    for run in (here, there):
        longer = run.changed(run__iterations=4)
        longer.step("preparation")
        longer.iterate(4)
        assert folders(longer, "policies") == {"000/main", "004/main"}
        assert folders(longer, "masters") == {"004/main"}
    assert there.manifest("policies/004/main").weights_digest == here.manifest("policies/004/main").weights_digest
    assert there.manifest("masters/004/main").weights_digest == here.manifest("masters/004/main").weights_digest


def test_the_report_says_what_is_not_kept(kept: SandboxRun) -> None:
    run = require_run(kept.store)
    summary = summarise(kept.store, run, 3)
    assert [row["iteration"] for row in summary["iterations"]] == [0, 1, 2, 3]
    assert report_unit(kept.store, run, summary)
    assert render(kept.store, run, summary, b"").count("(not kept)") == 2


def test_a_policy_that_is_not_kept_is_one_line_and_can_be_made_again(kept: SandboxRun, tmp_path: Path) -> None:
    before = [kept.manifest(f"policies/{t:03d}/main") for t in (1, 2)]
    store, reference = find(f"{kept.root}@2")
    for read in (lambda: open_policy(store, reference).folder, lambda: copy_to(store, reference, tmp_path / "copy")):
        with pytest.raises(UserError) as caught:
            read()
        line = str(caught.value)
        assert line.startswith(f"policy 002/main of {kept.root}: not kept, by run.keep = last 1; ")
        manifest = f"{kept.root}/policies/002/main.manifest.json"
        assert line.endswith(f"delete {manifest} and run the recipe with run.keep=all")
    assert not (tmp_path / "copy").exists()
    everything = kept.changed(run__keep="all")
    everything.step("preparation")
    for iteration in (1, 2):  # of both: the second starts from what the first makes
        remove(kept, f"policies/{iteration:03d}/main")
        for step in STEPS:
            everything.step(step, iteration)
        everything.step("evaluation", iteration)
    assert [everything.manifest(f"policies/{t:03d}/main").files for t in (1, 2)] == [each.files for each in before]
    assert folders(everything, "policies") == {"000/main", "001/main", "002/main", "003/main"}
    assert open_policy(store, reference).folder.is_dir()


def test_what_is_kept_is_no_part_of_a_runs_identity(kept: SandboxRun) -> None:
    identity = require_run(kept.store).identity
    for keep in ("all", "every 2"):
        kept.changed(run__keep=keep).step("preparation")
        assert require_run(kept.store).identity == identity


class Killed(Exception):
    """What strikes in the middle of deleting."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[SandboxRun, int, int], None]:
    """Retention after iteration `done` that is killed when it has deleted `before` files."""

    def retain_until(run: SandboxRun, done: int, before: int) -> None:
        delete, left = type(run.store).delete, [before]

        def mortal(store: Any, key: str) -> None:
            if not left[0]:
                raise Killed
            left[0] -= 1
            delete(store, key)

        with monkeypatch.context() as patch:
            patch.setattr(type(run.store), "delete", mortal)
            with pytest.raises(Killed):
                retain(run.store, done)

    return retain_until


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_deletion_that_is_killed_is_finished_by_the_next_call(
    before: int, finished: SandboxRun, killed: Callable[[SandboxRun, int, int], None]
) -> None:
    run = finished.changed(run__keep="last 1")
    run.step("preparation")
    killed(run, 2, before)
    retain(run.store, 2)
    assert folders(run, "policies") == {"000/main", "002/main"}
    assert run.store.list("policies/001") == ["policies/001/main.dropped.txt", "policies/001/main.manifest.json"]
    assert run.step("training", 2).skipped


@pytest.mark.parametrize("before", [0, 1, 3])
def test_nothing_is_left_of_float32_weights_whose_deletion_was_killed(
    before: int, kept: SandboxRun, killed: Callable[[SandboxRun, int, int], None]
) -> None:
    killed(kept, 4, before)
    retain(kept.store, 4)
    assert kept.store.list("masters") == []


# --- the registry ----------------------------------------------------------------------------------------------------


@pytest.fixture
def tracked(
    finished: SandboxRun, empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[SandboxRun, MlflowClient, Tracking]:
    """A finished run that is to keep one policy, told to MLflow."""
    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run = finished.changed(run__keep="last 1")
    run.step("preparation")
    client = MlflowClient(uri)
    client.create_registered_model("champion")
    tracking = Tracking.from_json(require_run(run.store).tracking or {})
    return run, client, tracking


def by_place(run: SandboxRun, client: MlflowClient, tracking: Tracking) -> None:
    client.create_model_version("champion", run.store.location("policies/001/main"))


def by_logged_model(run: SandboxRun, client: MlflowClient, tracking: Tracking) -> None:
    for iteration in (0, 1, 2):
        run.step("evaluation", iteration)
    (model,) = client.search_logged_models([tracking.experiment], "tags.`nashflow.iteration` = '1'")
    client.create_model_version("champion", f"models:/{model.model_id}", model_id=model.model_id)


def by_run(run: SandboxRun, client: MlflowClient, tracking: Tracking) -> None:
    """It does not say which policy it is of."""
    client.create_model_version("champion", "s3://elsewhere/copy", tracking.parent)


@pytest.mark.parametrize("register", [by_place, by_run])
def test_a_registered_policy_stays(tracked: Any, register: Callable[..., None]) -> None:
    register(*tracked)
    retain(tracked[0].store, 2)
    assert folders(tracked[0], "policies") == {"000/main", "001/main", "002/main"}


def test_a_policy_registered_as_its_logged_model_stays(tracked: Any) -> None:
    run = tracked[0].changed(run__keep="all")
    run.step("preparation")
    by_logged_model(run, *tracked[1:])
    tracked[0].step("preparation")
    retain(run.store, 2)
    assert "001/main" in folders(run, "policies")


def test_a_version_of_another_policy_keeps_none(tracked: Any) -> None:
    run, client, _ = tracked
    client.create_model_version("champion", run.store.location("policies/002/main"))
    client.create_model_version("champion", f"{run.root}-2/policies/001/main")
    retain(run.store, 2)
    assert folders(run, "policies") == {"000/main", "002/main"}


def test_the_logged_model_says_that_its_files_are_not_kept(tracked: Any) -> None:
    run, client, tracking = tracked
    for iteration in (0, 1, 2):
        run.step("evaluation", iteration)
    models = client.search_logged_models([tracking.experiment])
    said = {model.tags["nashflow.iteration"]: model.tags.get("nashflow.kept") for model in models}
    assert said == {"0": None, "1": "false", "2": None}


@pytest.mark.parametrize("uri", ["", "sqlite:////nowhere/mlflow.db"])
def test_without_a_word_of_the_registry_all_policies_stay(
    uri: str, tracked: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    retain(tracked[0].store, 2)
    assert folders(tracked[0], "policies") == {"000/main", "001/main", "002/main"}
    warnings = capfd.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: run.keep deletes no policy now, ")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


def test_a_run_that_is_not_tracked_asks_nobody(finished: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = finished.changed(run__keep="last 1")
    run.step("preparation")
    retain(run.store, 2)
    assert folders(run, "policies") == {"000/main", "002/main"}
    assert require_manifest(run.store, "policies/001/main").weights_digest
