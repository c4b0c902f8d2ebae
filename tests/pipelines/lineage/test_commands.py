"""`nashflow trace` and `nashflow path` as commands: what they print, and how they exit, on disk and in S3."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from nashflow.components.registry.version import Version
from nashflow.components.storage import outcome
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import open_store
from tests.fixtures.cli import call, here
from tests.fixtures.runs import SandboxRun, copy_files
from tests.pipelines.lineage.conftest import starting_from


def flipped(data: bytes) -> bytes:
    """The same bytes but for one bit."""
    return data[:-1] + bytes([data[-1] ^ 1])


def mlflow_uri() -> dict[str, str]:
    """The registry of this test, which the command would be kept from otherwise."""
    return {"MLFLOW_TRACKING_URI": os.environ.get("MLFLOW_TRACKING_URI", "")}


def test_the_tree_says_all_that_leads_to_the_champion(
    champion: Version, made: SandboxRun, onwards: SandboxRun, tmp_path: Path
) -> None:
    """As a real process: exit code 0, and 1 once a file on the way is another one."""
    words = ("trace", "models:/m@champion", "--runs", str(tmp_path / "runs"))
    done = call(*words, **mlflow_uri())
    for part in (
        "models:/m/1: registered",
        "method: comparisons=iid, eta=0.5",
        "oracle: oracle.kind=sandbox",
        "code: ",
        f"policies/002/main: 344 kB, weights {champion.weights[:12]}, verified",
        "policies/000/main: made by the run itself",
        f"run onwards, {onwards.root}: starts from the weights of policies/002/main",
        "11 units of 1 run, 28 files of 1.1 MB read: every digest is right",
    ):
        assert part in done.stdout
    (logprobs,) = Path(made.root, "iterations/002/main/logprobs").glob("*.parquet")
    logprobs.write_bytes(b"else")
    done = call(*words, check=False, **mlflow_uri())
    assert done.returncode == 1
    assert f"fault: {logprobs}: damaged" in done.stdout
    assert "1 fault\n" in done.stdout


def test_json_for_programs(made: SandboxRun, tmp_path: Path) -> None:
    done = here("trace", f"{made.root}@1", "--json", "--no-verify", "--runs", str(tmp_path / "runs"))
    found = json.loads(done.stdout)
    assert found["run"]["units"][-1]["state"] == "not verified"
    assert found["faults"] == []
    assert found["run"]["method"]["eta"] == 0.5


def test_what_is_wrong_is_one_line(made: SandboxRun, tmp_path: Path) -> None:
    done = here("trace", "nothing", "--runs", str(tmp_path / "runs"), check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("nashflow: nothing: no file, no run right below")


def test_the_path_of_a_champion(champion: Version, made: SandboxRun, tmp_path: Path) -> None:
    """What is printed is a model folder, and nothing else is: `vllm serve $(nashflow path models:/m@champion)`."""
    done = here("path", "models:/m@champion", **mlflow_uri())
    assert done.stdout == f"{champion.place}\n"
    assert Path(done.stdout.strip(), "config.json").is_file()
    copy = tmp_path / "served"
    done = here("path", "models:/m/1", "--to", str(copy), **mlflow_uri())
    assert done.stdout == f"{copy}\n"
    assert sorted(path.name for path in copy.iterdir()) == sorted(path.name for path in Path(champion.place).iterdir())


@pytest.mark.parametrize("manifest", [False, True])
def test_a_champion_with_other_weights_has_no_path(champion: Version, made: SandboxRun, manifest: bool) -> None:
    """Whether its files were changed, or its manifest by training it anew."""
    if manifest:
        path = Path(made.root, "policies/002/main.manifest.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"weights_digest": "0" * 64}))
    else:
        weights = Path(champion.place, "model.safetensors")
        weights.write_bytes(flipped(weights.read_bytes()))
    done = here("path", "models:/m@champion", check=False, **mlflow_uri())
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert ("was registered with weights" if manifest else "changed since it was recorded") in line


@pytest.fixture
def in_s3(finished_root: SandboxRun, seaweedfs_prefix: str) -> SandboxRun:
    """The finished run in a real S3 server."""
    root = f"{seaweedfs_prefix}/made"
    copy_files(finished_root.store, open_store(root))
    return SandboxRun(root, finished_root.recipe)


def test_runs_in_s3(in_s3: SandboxRun, seaweedfs_prefix: str) -> None:
    onwards = starting_from(in_s3, f"{seaweedfs_prefix}/onwards")
    words = ("trace", onwards.root, "--runs", seaweedfs_prefix)
    done = here(*words)
    assert f"policies/000/main: policies/002/main of {in_s3.root}" in done.stdout
    assert "every digest is right" in done.stdout
    (name,) = (key for key in in_s3.store.list("policies/001") if key.endswith("model.safetensors"))
    whole = in_s3.store.read(name)
    in_s3.store.write(name, flipped(whole))
    done = here(*words, check=False)
    assert done.returncode == 1
    assert f"fault: {in_s3.store.location(name)}: damaged" in done.stdout
    in_s3.store.delete(name)
    assert f"fault: {in_s3.store.location(name)}: missing" in here(*words, check=False).stdout


def test_things_in_s3_by_their_uris(in_s3: SandboxRun, seaweedfs_prefix: str) -> None:
    (pairs,) = (key for key in in_s3.store.list("iterations/001/main/pairs") if key.endswith(".parquet"))
    for place in (in_s3.store.location(pairs), f"{in_s3.root}/iterations/001/main/pairs/00000.manifest.json"):
        found = json.loads(here("trace", place, "--json", "--runs", seaweedfs_prefix).stdout)
        assert found["run"]["traced"] == ["iterations/001/main/pairs/00000"]
        assert found["faults"] == []


def test_the_path_of_a_champion_in_s3(
    in_s3: SandboxRun, mlflow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nashflow.components.registry.champions import Registry
    from tests.components.registry.conftest import crowned

    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path / "cache"))
    crowned(Registry.open("m"), in_s3.store, "002/main")
    folder = Path(here("path", "models:/m@champion", **mlflow_uri()).stdout.strip())
    assert folder.is_relative_to(tmp_path / "cache")
    (name,) = (key for key in in_s3.store.list("policies/002") if key.endswith("model.safetensors"))
    assert Path(folder, "model.safetensors").read_bytes() == in_s3.store.read(name)
    in_s3.store.write(name, b"else")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    done = here("path", "models:/m@champion", check=False, **mlflow_uri())
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not match the digest in its manifest" in done.stderr


def test_why_a_run_was_not_promoted_and_why_one_did_not_begin(made: SandboxRun, tmp_path: Path) -> None:
    """What schedules leave behind."""
    refused = "iteration 2 of small refused: win rate 0.501 [0.470, 0.532] against version 3, not above 0.5"
    made.store.write("report/promotion.json", json.dumps({"decision": "refused", "line": refused}).encode())
    assert f"promotion: {refused}" in here("trace", f"{made.root}@2", "--no-verify").stdout
    skipped = open_store(str(tmp_path / "runs" / "skipped"))
    run = require_run(made.store)
    replace(run, inputs={}, tracking=None).write(skipped)
    outcome.write(skipped, "skipped", "3 of 40 prompts are new", "job-7")
    said = here("trace", skipped.uri).stdout
    assert "3 of 40 prompts are new, job job-7" in said
    assert "it has made nothing yet" in said


def test_the_store_beside_the_runs_is_asked_where_no_other_is_named(
    champion: Version, made: SandboxRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db").rename(tmp_path / "runs" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    assert here("path", "models:/m@champion", MLFLOW_TRACKING_URI="").stdout == f"{champion.place}\n"
    assert "champion" in here("champions", "m", MLFLOW_TRACKING_URI="").stdout
    assert "models:/m/1" in here("trace", "made@2", "--no-verify", MLFLOW_TRACKING_URI="").stdout
