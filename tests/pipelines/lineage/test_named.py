"""Every way of naming something leads to the same thing; what is unknown is refused in one line."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nashflow.components.core.digests import sha256_file
from nashflow.components.core.errors import UserError
from nashflow.components.iterations.tracked import made_by
from nashflow.components.registry.version import Version
from nashflow.components.storage.run import require_run
from nashflow.components.tracking.opening import Tracking, open_run
from nashflow.components.tracking.tracker import Tracker
from nashflow.pipelines.lineage.traced import Trace
from tests.fixtures.runs import SandboxRun

Traced = Callable[..., Trace]
POLICY = "policies/002/main"


def folder(run: SandboxRun) -> Path:
    """The folder of the run's last policy."""
    (found,) = (path for path in Path(run.root, POLICY).iterdir() if path.is_dir())
    return found


def shard(run: SandboxRun) -> Path:
    (found,) = Path(run.root, "iterations/001/main/pairs").glob("*.parquet")
    return found


@pytest.mark.parametrize(
    "place",
    [
        lambda run: f"{run.root}@2",
        lambda run: Path(run.root, POLICY),
        lambda run: f"{run.root}/{POLICY}/",
        lambda run: folder(run),
        lambda run: folder(run) / "config.json",
        lambda run: f"{run.root}/{POLICY}.manifest.json",
        lambda run: run.manifest(POLICY).weights_digest,
        lambda run: run.manifest(POLICY).digest[:16],
        lambda run: sha256_file(folder(run) / "model.safetensors"),
    ],
)
def test_a_policy(made: SandboxRun, traced: Traced, place: Callable[[SandboxRun], object]) -> None:
    assert list(traced(place(made), verify=False).run.traced) == [POLICY]


@pytest.mark.parametrize("place", [lambda run: run.root, lambda run: f"{run.root}/run.json", lambda run: "made"])
def test_a_run(made: SandboxRun, traced: Traced, place: Callable[[SandboxRun], object]) -> None:
    found = traced(place(made), verify=False)
    assert (found.run.run_root, found.run.traced) == (made.root, [])


def test_a_run_by_its_name_is_the_newest(made: SandboxRun, traced: Traced) -> None:
    assert traced("small", verify=False).run.run_root == made.root


@pytest.mark.parametrize("held", [shard, folder])
def test_a_copy_from_elsewhere_is_known_by_its_content(
    made: SandboxRun, traced: Traced, tmp_path: Path, held: Callable[[SandboxRun], Path]
) -> None:
    whole, copy = held(made), tmp_path / "copy"
    shutil.copytree(whole, copy) if whole.is_dir() else shutil.copyfile(whole, copy)
    found = traced(copy)
    assert found.faults == []
    assert found.what.startswith(f"{copy}, as ")
    assert list(found.run.traced) == list(traced(whole, verify=False).run.traced)


def test_the_current_folder_is_where_paths_begin(
    made: SandboxRun, traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(made.root).parent)
    assert list(traced(f"made/{POLICY}", verify=False).run.traced) == [POLICY]
    assert list(traced("made@1", verify=False, prefix=".").run.traced) == ["policies/001/main"]


@pytest.mark.parametrize("named", ["models:/m@champion", "models:/m/1"])
def test_a_registered_model(champion: Version, made: SandboxRun, traced: Traced, named: str) -> None:
    found = traced(named)
    assert found.faults == []
    assert (found.run.run_root, list(found.run.traced)) == (made.root, [POLICY])
    assert found.registered == champion


def in_mlflow(run: SandboxRun) -> tuple[Tracking, str]:
    """Let MLflow know of the run and its last policy; the ids of both."""
    tracking = open_run(run.store, "made", {})
    assert tracking
    replace(require_run(run.store), tracking=tracking.to_json()).write(run.store)
    model = Tracker.of(run.store).checkpoint(made_by(run.store, POLICY, kept=True))
    assert model
    return tracking, model


def test_a_run_and_a_model_by_their_ids_in_mlflow(mlflow: None, made: SandboxRun, traced: Traced) -> None:
    tracking, model = in_mlflow(made)
    assert traced(tracking.parent, verify=False).run.run_root == made.root
    assert list(traced(model, verify=False).run.traced) == [POLICY]
    assert list(traced(f"models:/{model}", verify=False).run.traced) == [POLICY]
    assert traced(made.root, verify=False).run.tags["nashflow.run_root"] == made.root


def refusal(traced: Traced, named: object) -> str:
    with pytest.raises(UserError) as caught:
        traced(named)
    (line,) = str(caught.value).splitlines()
    return line


def test_what_is_unknown_is_refused_with_what_is_near(made: SandboxRun, traced: Traced, tmp_path: Path) -> None:
    assert "did you mean made?" in refusal(traced, "mode")
    assert "name one, or the run" in refusal(traced, f"{made.root}/iterations/001")
    stray = Path(made.root, "notes.txt")
    stray.write_text("mine")
    assert "no manifest of the run" in refusal(traced, stray)
    assert "no run right below" in refusal(traced, "0" * 64)
    other = tmp_path / "other.bin"
    other.write_bytes(b"\0")
    assert f"{other}: no run right below {tmp_path / 'runs'}" in refusal(traced, other)
    assert "no policy main of iteration 7" in refusal(traced, f"{made.root}@7")


def test_models_that_are_unknown(champion: Version, traced: Traced) -> None:
    assert "versions there are: 1" in refusal(traced, "models:/m/2")
    assert "write models:/NAME@champion" in refusal(traced, "models:/m")
    assert "no run of NashFlow of this id" in refusal(traced, "0" * 32)
    assert "not found" in refusal(traced, f"m-{'0' * 32}")


def test_without_mlflow_a_model_asks_for_it(made: SandboxRun, traced: Traced) -> None:
    assert "set MLFLOW_TRACKING_URI" in refusal(traced, "models:/m@champion")
    assert "set MLFLOW_TRACKING_URI" in refusal(traced, "0" * 32)


def test_a_run_root_without_a_run_below_it_is_not_needed(made: SandboxRun, traced: Traced, tmp_path: Path) -> None:
    assert traced(f"{made.root}@2", prefix=str(tmp_path / "nothing")).faults == []
