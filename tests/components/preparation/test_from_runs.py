"""A run that starts from another run's policy."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.iterations.retention import retain
from nashflow.components.models.policies import open_policy
from nashflow.components.preparation.policy import FolderPolicy
from nashflow.components.preparation.step import check
from nashflow.components.storage import layout
from nashflow.components.storage.dropped import drop, restore
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store_local import LocalStore
from tests.fixtures.runs import SandboxRun, remove

New = Callable[..., SandboxRun]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path / "machine"))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def started(fresh: New, model: str, root: str = "onwards", copy: bool = False) -> SandboxRun:
    return fresh({"policy": {"kind": "folder", "model": model, "copy_files": copy}}, root)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize(("named", "iteration"), [("@1", 1), ("", 2)])
def test_its_reference_is_the_others_policy(
    fresh: New, finished: SandboxRun, named: str, iteration: int, copy: bool
) -> None:
    run = started(fresh, f"run:{finished.root}{named}", copy=copy)
    run.step("preparation")
    there = open_policy(finished.store, f"{iteration:03d}/main")
    here = open_policy(run.store, "000/main")
    assert here.digest == there.digest == require_run(run.store).inputs["policy"]
    assert here.weights_digest == there.weights_digest
    assert (here.folder == there.folder) is not copy
    assert here.folder.is_relative_to(run.root) is copy


def test_a_run_in_s3_is_pointed_to_where_every_pod_finds_it(
    fresh: New, finished: SandboxRun, s3_bucket: str, tmp_path: Path
) -> None:
    other = finished.copied(f"{s3_bucket}/runs/one")
    run = started(fresh, f"run:{other.root}@2")
    run.step("preparation")
    assert run.manifest("policies/000/main").source == other.root
    policy = open_policy(run.store, "000/main")
    assert policy.folder.is_relative_to(tmp_path / "machine")
    assert policy.weights_digest == open_policy(finished.store, "002/main").weights_digest
    assert FolderPolicy(model=f"run:{other.root}@1").parameters() is None, "nothing is fetched to count"


def test_what_is_not_there_is_one_line_and_nothing_is_written(fresh: New, finished: SandboxRun, tmp_path: Path) -> None:
    root = finished.root
    for model, said in (
        (
            f"run:{root}@7",
            f"policy.model run:{root}@7: {root}: no policy main of iteration 7; there are those of 0, 1, 2",
        ),
        (f"run:{tmp_path}/no@1", f"policy.model run:{tmp_path}/no@1: {tmp_path}/no: no run here; "),
    ):
        run = started(fresh, model)
        with pytest.raises(UserError) as caught:
            check(run.recipe, run.store)
        assert str(caught.value).startswith(said)
    assert not (tmp_path / "onwards").exists()


def test_a_policy_that_the_other_run_has_deleted_is_named_with_the_way_to_make_it_again(
    fresh: New, finished: SandboxRun
) -> None:
    run = started(fresh, f"run:{finished.root}@1")
    run.step("preparation")
    files = [
        (file.key, finished.store.read(file.key)) for file in finished.manifest("policies/001/main").files.values()
    ]
    finished.store.delete(*finished.store.list("policies/001/main.claims"))  # as a run of before has none
    drop(finished.store, "policies/001/main", "run.keep = last 1")
    said = (
        f"policy 001/main of {finished.root}: not kept, by run.keep = last 1; to train it again, delete {finished.root}"
    )
    for read in (lambda: open_policy(run.store, "000/main").folder, lambda: check(run.recipe, run.store)):
        with pytest.raises(UserError, match=re.escape(said)):
            read()
    for key, data in files:
        finished.store.write(key, data)
    restore(finished.store, "policies/001/main")
    assert open_policy(run.store, "000/main").folder.is_dir()


def test_a_run_whose_start_has_gone_on_is_another(fresh: New, finished: SandboxRun) -> None:
    kept = finished.store.read("policies/002/main.manifest.json")
    remove(finished, "policies/002/main")
    run = started(fresh, f"run:{finished.root}")
    run.step("preparation")
    finished.store.write("policies/002/main.manifest.json", kept)
    again = started(fresh, f"run:{finished.root}")
    with pytest.raises(UserError, match="belongs to another recipe: digest of policy is"):
        again.step("preparation")


def test_the_size_is_that_of_its_configuration(finished: SandboxRun) -> None:
    folder = open_policy(finished.store, "001/main").folder
    named = FolderPolicy(model=f"run:{finished.root}@1")
    assert named.parameters() == FolderPolicy(model=str(folder)).parameters()
    assert named.parameters()


def test_a_run_that_is_extended_makes_no_other_reference_of_it(fresh: New, finished: SandboxRun) -> None:
    run = started(fresh, f"run:{finished.root}")
    run.step("preparation")
    assert require_run(run.store).recipe["policy"]["model"] == f"run:{finished.root}@2"
    started(fresh, f"run:{finished.root}@2").step("preparation")
    with pytest.raises(UserError, match=r"belongs to another recipe.*policy\.model is '.*@2' there and '.*@1' here"):
        started(fresh, f"run:{finished.root}@1").step("preparation")


@pytest.mark.parametrize("as_folder", [False, True])
def test_what_another_run_points_to_stays(fresh: New, finished: SandboxRun, as_folder: bool) -> None:
    folder = open_policy(finished.store, "001/main").folder
    first = started(fresh, str(folder) if as_folder else f"run:{finished.root}@1", "first")
    second = started(fresh, f"run:{first.root}@0", "second")
    for run in (first, second):
        run.step("preparation")
    keeping = finished.changed(run__keep="last 1")
    keeping.step("preparation")
    retain(finished.store, 2)
    for run in (first, second):
        assert open_policy(run.store, "000/main").folder == folder
    for claim in finished.store.list("policies/001/main.claims"):
        assert finished.store.read(claim).decode() in (first.root, second.root)
        finished.store.delete(claim)
    retain(finished.store, 2)
    assert not any(folder.iterdir())


def test_a_claim_and_a_deletion_at_once_do_not_both_succeed(
    fresh: New, finished: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim comes when the deletion has begun, before its first file is deleted."""
    run, create = started(fresh, f"run:{finished.root}@1"), LocalStore.create

    def claimed_then(store: LocalStore, key: str, data: bytes) -> bool:
        done = create(store, key, data)
        if key.endswith(".dropped.txt"):
            monkeypatch.setattr(LocalStore, "create", create)
            with pytest.raises(UserError, match=r"policy 001/main of .*: not kept, by run\.keep"):
                run.recipe.policy.claim(run.store)
        return done

    run.step("preparation")
    for key in finished.store.list("policies/001/main.claims"):
        finished.store.delete(key)
    monkeypatch.setattr(LocalStore, "create", claimed_then)
    drop(finished.store, "policies/001/main", "run.keep = last 1")
    assert open_policy(run.store, "000/main").folder.is_dir()


def test_a_run_that_deletes_policies_and_cannot_be_told_is_refused(
    fresh: New, finished: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = LocalStore.create

    def denied(store: LocalStore, key: str, data: bytes) -> bool:
        if "claims" in key:
            raise PermissionError(13, "Permission denied", key)
        return create(store, key, data)

    monkeypatch.setattr(LocalStore, "create", denied)
    started(fresh, f"run:{finished.root}@2", "all").step("preparation")
    finished.changed(run__keep="last 1").step("preparation")
    run = started(fresh, f"run:{finished.root}@2")
    with pytest.raises(UserError, match=r"deletes policies \(run.keep = last 1\).*: set policy.copy_files to true$"):
        run.step("preparation")
    assert not run.store.exists(layout.RUN)
    started(fresh, f"run:{finished.root}@2", copy=True).step("preparation")
