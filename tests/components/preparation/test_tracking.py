"""What the tracker is told before any step works: of a run, and of a firing that has nothing to learn from."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.redaction import redact
from tests.fixtures import models
from tests.fixtures.runs import SandboxRun, recipe
from tests.fixtures.tracking import every_run, free_port


@pytest.fixture
def firings(tmp_path: Path) -> tuple[SandboxRun, SandboxRun]:
    """Two firings of a schedule on one file of prompts, which the first one uses up."""
    inputs = tmp_path / "inputs"
    models.llama(inputs / "policy")
    models.classifier(inputs / "reward")
    (inputs / "prompts.jsonl").write_text("\n".join(json.dumps({"prompt": f"question {i}"}) for i in range(12)))
    changes: dict[str, Any] = {
        "run.iterations": 10,
        "policy": {"kind": "folder", "model": str(inputs / "policy")},
        "oracle": {"kind": "reward_model", "model": str(inputs / "reward")},
        "prompts": {"path": str(inputs / "prompts.jsonl"), "per_iteration": 4, "held_out": 8},
        "evaluation": {"benchmarks": ["head_to_head"]},
    }
    first, second = (SandboxRun(str(tmp_path / "runs" / name), recipe(changes)) for name in ("monday", "tuesday"))
    return first, second


def fire(run: SandboxRun) -> str:
    name = Path(run.root).name
    return run.step("preparation", job_id=name, run_name="weekly", only_new_prompts="true").parameters["go"]


def test_a_firing_is_one_run_and_one_without_new_prompts_says_so(
    firings: tuple[SandboxRun, SandboxRun], tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert [fire(run) for run in firings] == ["true", "false"]
    made = {run.data.tags["nashflow.run_root"]: run for run in every_run(MlflowClient(uri))}
    monday, tuesday = (made[run.root] for run in firings)
    assert len(made) == 2
    assert (monday.info.status, monday.data.tags.get("nashflow.outcome")) == ("RUNNING", None)
    assert (tuesday.info.status, tuesday.data.tags["nashflow.outcome"]) == ("FINISHED", "skipped")
    assert tuesday.data.tags["nashflow.reason"].startswith("0 of 12 prompts are new to runs named weekly")


def test_a_skipped_firing_is_green_although_mlflow_is_away(
    firings: tuple[SandboxRun, SandboxRun], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = firings
    assert fire(first) == "true"
    uri = f"http://joe:hunter2@127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert fire(second) == "false"
    skipped, warning = capsys.readouterr().err.splitlines()
    assert skipped.startswith("preparation: skipped: 0 of 12 prompts are new")
    assert warning.startswith("warning: set MLFLOW_TRACKING_URI to ")
    assert warning.endswith(f": MLflow at {redact(uri)}: [Errno 111] Connection refused")
