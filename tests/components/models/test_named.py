"""Policies by their run."""

import re
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.models.named import copy_to, find, made, place_of
from nashflow.components.models.policies import open_policy
from nashflow.components.models.weights import weights_digest
from tests.fixtures.runs import SandboxRun


@pytest.mark.parametrize(("named", "reference"), [("", "002/main"), ("@1", "001/main"), ("@0", "000/main")])
def test_a_policy_is_named_by_its_run_and_iteration(finished_root: SandboxRun, named: str, reference: str) -> None:
    store, found = find(f"{finished_root.root}{named}")
    assert (store.uri, found) == (finished_root.root, reference)


def test_the_place_of_a_policy_is_a_model_folder(finished_root: SandboxRun) -> None:
    for reference in ("000/main", "002/main"):
        place = Path(place_of(finished_root.store, reference))
        assert place == open_policy(finished_root.store, reference).folder
        load_causal_lm(place)


def test_what_is_not_there_is_said_in_one_line(finished_root: SandboxRun, tmp_path: Path) -> None:
    root = re.escape(finished_root.root)
    with pytest.raises(UserError, match=f"{root}: no policy main of iteration 7; there are those of 0, 1, 2$"):
        find(f"{finished_root.root}@7")
    with pytest.raises(UserError, match=f"{root}: no policy is named half; there are main$"):
        find(finished_root.root, "half")
    with pytest.raises(UserError, match=r"elsewhere: no run here"):
        find(f"{tmp_path}/elsewhere@1")


def test_a_run_root_may_have_the_sign_in_its_name(finished_root: SandboxRun, tmp_path: Path) -> None:
    run = finished_root.copied(str(tmp_path / "me@home/run"))
    assert find(run.root)[1] == "002/main"
    assert made(run.store) == {"main": [0, 1, 2]}


def test_a_policy_in_s3_is_fetched_to_the_cache_or_to_a_folder(
    finished_root: SandboxRun, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path / "cache"))
    run = finished_root.copied(f"{s3_bucket}/runs/one")
    store, reference = find(f"{run.root}@1")
    assert place_of(store, reference).startswith(f"{run.root}/policies/001/main/")
    copy_to(store, reference, tmp_path / "copy")
    weights = finished_root.manifest("policies/001/main").weights_digest
    folder = open_policy(store, reference).folder
    assert folder.is_relative_to(tmp_path / "cache")
    assert weights_digest(folder) == weights_digest(tmp_path / "copy") == weights
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "copy"]
    with pytest.raises(UserError, match="is there already: name a new folder"):
        copy_to(store, reference, tmp_path / "copy")
