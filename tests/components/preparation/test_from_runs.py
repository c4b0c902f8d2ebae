"""A run that starts from another run's policy."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.models.policies import open_policy
from nashflow.components.preparation.policy import FolderPolicy
from nashflow.components.preparation.step import check
from nashflow.components.storage.dropped import drop, restore
from nashflow.components.storage.run import require_run
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
    fresh: New, finished_root: SandboxRun, named: str, iteration: int, copy: bool
) -> None:
    run = started(fresh, f"run:{finished_root.root}{named}", copy=copy)
    run.step("preparation")
    there = open_policy(finished_root.store, f"{iteration:03d}/main")
    here = open_policy(run.store, "000/main")
    assert here.weights_digest == there.weights_digest == require_run(run.store).inputs["policy"]
    assert (here.folder == there.folder) is not copy
    assert here.folder.is_relative_to(run.root) is copy


def test_a_run_in_s3_is_pointed_to_where_every_pod_finds_it(
    fresh: New, finished_root: SandboxRun, s3_bucket: str, tmp_path: Path
) -> None:
    other = finished_root.copied(f"{s3_bucket}/runs/one")
    run = started(fresh, f"run:{other.root}@2")
    run.step("preparation")
    assert run.manifest("policies/000/main").source == other.root
    policy = open_policy(run.store, "000/main")
    assert policy.folder.is_relative_to(tmp_path / "machine")
    assert policy.weights_digest == open_policy(finished_root.store, "002/main").weights_digest
    assert FolderPolicy(model=f"run:{other.root}@1").parameters() is None, "nothing is fetched to count"


def test_what_is_not_there_is_one_line_and_nothing_is_written(
    fresh: New, finished_root: SandboxRun, tmp_path: Path
) -> None:
    root = finished_root.root
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


def test_the_size_is_that_of_its_configuration(finished_root: SandboxRun) -> None:
    folder = open_policy(finished_root.store, "001/main").folder
    named = FolderPolicy(model=f"run:{finished_root.root}@1")
    assert named.parameters() == FolderPolicy(model=str(folder)).parameters()
    assert named.parameters()


def test_a_run_that_is_extended_makes_no_other_reference_of_it(fresh: New, finished_root: SandboxRun) -> None:
    run = started(fresh, f"run:{finished_root.root}")
    run.step("preparation")
    assert require_run(run.store).recipe["policy"]["model"] == f"run:{finished_root.root}@2"
    started(fresh, f"run:{finished_root.root}@2").step("preparation")
    with pytest.raises(UserError, match=r"belongs to another recipe.*policy\.model is '.*@2' there and '.*@1' here"):
        started(fresh, f"run:{finished_root.root}@1").step("preparation")
