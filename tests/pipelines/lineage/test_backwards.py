"""Backwards: what something was made from, and every digest on the way."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nashflow.components.core.digests import sha256_file
from nashflow.components.models.identity import digest_of
from nashflow.components.registry.version import Version
from nashflow.components.storage.dropped import drop
from nashflow.pipelines.lineage.traced import Trace, TracedRun
from tests.fixtures.runs import SandboxRun
from tests.pipelines.lineage.conftest import starting_from

Traced = Callable[..., Trace]
LINE_OF_DESCENT = [
    "iterations/001/main/logprobs/00000",
    "iterations/001/main/pairs/00000",
    "iterations/001/main/rollouts/00000",
    "iterations/001/prompts/00000",
    "iterations/002/main/logprobs/00000",
    "iterations/002/main/pairs/00000",
    "iterations/002/main/rollouts/00000",
    "iterations/002/prompts/00000",
    "policies/000/main",
    "policies/001/main",
    "policies/002/main",
]
"""All that the last of two policies is made from; nothing of evaluation."""


def manifests(run: SandboxRun) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The manifests under a run root, read without the project's code."""
    for path in sorted(Path(run.root).rglob("*.manifest.json")):
        yield path, json.loads(path.read_text())


def units(run: TracedRun) -> dict[str, str]:
    """The state of each unit."""
    return {unit.unit: unit.state for unit in run.units}


def test_of_a_run_every_file_of_every_unit_is_read(made: SandboxRun, traced: Traced) -> None:
    found = traced(made.root)
    files = {unit["unit"]: len(unit["files"]) for _, unit in manifests(made) if unit["files"]}
    assert found.faults == []
    assert {unit.unit: unit.files for unit in found.run.units} == files
    assert set(units(found.run).values()) == {"verified"}


def test_of_a_policy_what_it_was_made_from_back_to_the_reference(made: SandboxRun, traced: Traced) -> None:
    found = traced(f"{made.root}@2")
    assert sorted(units(found.run)) == LINE_OF_DESCENT
    trained = next(unit for unit in found.run.units if unit.unit == "policies/002/main")
    assert trained.inputs["start"].unit == "policies/001/main"
    assert trained.inputs["pairs 0"].unit == "iterations/002/main/pairs/00000"
    assert trained.inputs["logprobs 0"].unit == "iterations/002/main/logprobs/00000"
    assert found.run.settings["method.eta"] == 0.5
    assert "training.optimizer" not in found.run.settings
    assert found.run.inputs == dict(json.loads(Path(made.root, "run.json").read_text())["inputs"])


def test_units_stand_in_the_order_of_their_making(made: SandboxRun, traced: Traced) -> None:
    found = traced(f"{made.root}@2").run
    place = {unit.unit: index for index, unit in enumerate(found.units)}
    for unit in found.units:
        assert all(place[source.unit] < place[unit.unit] for source in unit.inputs.values() if source.unit)


@pytest.mark.parametrize("copied", [False, True])
def test_runs_are_followed_to_the_one_that_made_the_first_policy(
    made: SandboxRun, traced: Traced, tmp_path: Path, copied: bool
) -> None:
    second = starting_from(made, f"{tmp_path}/runs/second", copy_files=copied)
    found = traced(second.root)
    assert found.faults == []
    assert found.run.origins == {"policies/000/main": f"policies/002/main of {made.root}"}
    (parent,) = found.run.parents
    assert (parent.run_root, sorted(units(parent)), parent.parents) == (made.root, LINE_OF_DESCENT, [])
    assert parent.origins == {"policies/000/main": "made by the run itself (policy.kind sandbox)"}


@pytest.mark.parametrize("copied", [False, True])
def test_a_champion_that_a_run_starts_from_and_a_reference_apart(
    made: SandboxRun, champion: Version, traced: Traced, tmp_path: Path, copied: bool
) -> None:
    named = {"model": "models:/m@champion", "reference": f"run:{made.root}@1"}
    second = starting_from(made, f"{tmp_path}/runs/second", copy_files=copied, **named)
    found = traced(second.root)
    assert found.faults == []
    assert found.run.origins == {
        "policies/000/main": f"policies/002/main of {made.root}",
        "policies/000/reference": f"policies/001/main of {made.root}",
    }
    assert sorted(sorted(units(parent))[-1] for parent in found.run.parents) == [
        "policies/001/main",
        "policies/002/main",
    ]


def test_every_file_that_is_damaged_or_missing_is_named_and_no_other(made: SandboxRun, traced: Traced) -> None:
    paths = [Path(made.root, file["key"]) for _, unit in manifests(made) for file in unit["files"].values()]
    assert len(paths) > 30
    for path in paths:
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert [str(path) in fault and "damaged" in fault for fault in traced(made.root).faults] == [True]
        path.unlink()
        assert traced(made.root).faults == [f"{path}: missing"]
        path.write_bytes(whole)
    assert traced(made.root).faults == []


def test_a_fault_in_the_run_that_it_started_from_is_found(
    made: SandboxRun, onwards: SandboxRun, traced: Traced
) -> None:
    (rollouts,) = Path(made.root, "iterations/001/main/rollouts").glob("*.parquet")
    rollouts.unlink()
    assert traced(onwards.root).faults == [f"{rollouts}: missing"]
    assert traced(onwards.root, verify=False).faults == []


def with_other_weights(run: SandboxRun, *, weights: str = "") -> None:
    """Put other weights into the place of a policy's, and let its manifest agree, but for their digest or with it."""
    path = Path(run.root, "policies/001/main.manifest.json")
    manifest = json.loads(path.read_text())
    file = manifest["files"]["model.safetensors"]
    place = Path(run.root, file["key"])
    tensors = load_file(place)
    save_file({name: np.flip(tensor).copy() for name, tensor in tensors.items()}, place, {"format": "pt"})
    file["sha256"] = sha256_file(place)
    path.write_text(json.dumps(manifest | ({"weights_digest": weights} if weights else {})))


def test_weights_that_are_not_those_of_their_digest(made: SandboxRun, traced: Traced) -> None:
    with_other_weights(made)
    (fault,) = traced(f"{made.root}@2").faults
    assert "policies/001/main" in fault
    assert "its weights have the digest" in fault


def test_a_policy_that_is_not_the_one_that_the_next_was_trained_from(made: SandboxRun, traced: Traced) -> None:
    before = digest_of(made.manifest("policies/001/main"))
    with_other_weights(made, weights="0" * 64)
    faults = [fault for fault in traced(f"{made.root}@2", verify=False).faults if "policies/002/main" in fault]
    assert faults == [
        f"{made.root}/policies/002/main.manifest.json: was made from start {before}, and nothing under the run root "
        "has this digest now"
    ]


def test_a_policy_that_was_replaced_in_the_run_that_made_it(
    made: SandboxRun, onwards: SandboxRun, traced: Traced
) -> None:
    manifest = Path(made.root, "policies/002/main.manifest.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"weights_digest": "0" * 64}))
    assert any(f"{'0' * 64} by now" in fault for fault in traced(onwards.root, verify=False).faults)
    manifest.unlink()
    assert [fault for fault in traced(onwards.root, verify=False).faults if "policies/002/main: missing" in fault]


def test_settings_that_were_changed_after_the_run_had_begun(made: SandboxRun, traced: Traced) -> None:
    path = Path(made.root, "run.json")
    run = json.loads(path.read_text())
    run["recipe"]["method"]["eta"] = 0.25
    path.write_text(json.dumps(run))
    assert traced(made.root).faults == [
        f"{path}: damaged: its settings are not those of its identity {run['identity']}"
    ]


def test_a_recipe_or_a_manifest_that_was_changed(made: SandboxRun, traced: Traced) -> None:
    (recipe,) = Path(made.root, "recipes").iterdir()
    recipe.write_bytes(recipe.read_bytes() + b" ")
    manifest = Path(made.root, "iterations/002/evaluation/game/00000.manifest.json")
    manifest.write_text("{")
    assert traced(made.root).faults == [
        f"{manifest}: damaged: is no manifest",
        f"{recipe}: damaged: is not what preparation wrote",
    ]


def test_policies_that_run_keep_deleted_are_no_fault(made: SandboxRun, traced: Traced) -> None:
    drop(made.store, "policies/001/main", "run.keep = last 1")
    found = traced(f"{made.root}@2")
    assert found.faults == []
    assert units(found.run)["policies/001/main"] == "not kept"


def test_without_reading_files_nothing_counts_as_verified(made: SandboxRun, traced: Traced) -> None:
    found = traced(made.root, verify=False)
    assert found.faults == []
    assert set(units(found.run).values()) == {"not verified"}


def test_a_run_that_starts_from_its_descendant_is_refused(
    made: SandboxRun, onwards: SandboxRun, traced: Traced
) -> None:
    path = Path(made.root, "policies/000/main.manifest.json")
    manifest = json.loads(path.read_text())
    files = {name: {**file, "key": f"policies/000/main/{name}"} for name, file in manifest["files"].items()}
    path.write_text(json.dumps({**manifest, "source": onwards.root, "files": files}))
    with pytest.raises(Exception, match="starts from its own descendant"):
        traced(onwards.root)


def test_a_trace_is_json(onwards: SandboxRun, traced: Traced) -> None:
    data = json.loads(json.dumps(asdict(traced(onwards.root))))
    assert data["run"]["parents"][0]["units"][0]["state"] == "verified"
