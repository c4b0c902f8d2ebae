import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.digests import sha256_bytes
from nashflow.components.core.errors import UserError
from nashflow.components.reporting.settings import ReportingStep
from nashflow.components.reporting.step import run
from nashflow.components.runtime.artifacts import Artifact
from nashflow.components.runtime.protocol import Call, Result
from nashflow.components.storage.run import Run, require_run
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import read_manifest
from nashflow.components.tracking import opening as tracking
from tests.components.reports.toy_runs import GAME, WON, evaluation, evaluations, forget_evaluation, toy_run

FILES = tuple(
    f"report/{name}" for name in ("benchmarks.html", "benchmarks.json", "figure.png", "report.html", "summary.json")
)
SETTINGS = {"run": {"seed": 7}, "method": {"name": "inpo", "eta": 0.5, "tau": 0.1}, "prompts": {"shards": 1}}


@pytest.fixture(autouse=True)
def no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def report(store: Store, last: int) -> Result:
    return run(Call(store, last, "", 0, ReportingStep.parse(SETTINGS, "settings")))


def files(store: Store) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.list("report") if not key.endswith(".manifest.json")}


def test_a_report_is_five_files_and_a_manifest_that_vouches_for_them(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(3, WON, GAME))
    result = report(store, 2)
    written = files(store)
    assert tuple(written) == FILES
    assert json.loads(written["report/summary.json"])["iterations"][2]["duality_gap"] == 0.06
    assert written["report/figure.png"].startswith(b"\x89PNG")
    assert not result.skipped
    manifest = read_manifest(store, "report/report")
    assert manifest is not None
    file = manifest.files["report.html"]
    place = {"uri": store.location(file.key), "digest": file.sha256}
    assert result.artifacts == {"report": Artifact(written["report/report.html"], place)}
    assert manifest == result.manifest
    assert {file.key: file.sha256 for file in manifest.files.values()} == {
        key: sha256_bytes(data) for key, data in written.items()
    }


def test_the_metrics_are_the_last_iterations(tmp_path: Path) -> None:
    metrics = report(toy_run(tmp_path, evaluations(3, WON)), 2).metrics
    assert metrics == {
        "iteration": 2,
        **WON[2],
        "kl": 0.2,
        "mean_length": 4.0,
        "pairs": 21,
        "comparisons": 42,
        "oracle_calls": 63,
        "judging_abstentions": 0,
        "judging_truncated": 0,
        "judging_abstention_share": 0.0,
    }


def test_the_same_again_is_found_done(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(2, WON, GAME))
    first, second = report(store, 1), report(store, 1)
    assert (first.skipped, second.skipped) == (False, True)
    assert second.artifacts == first.artifacts


def test_equal_runs_have_equal_reports_up_to_where_they_lie(tmp_path: Path) -> None:
    stores = [toy_run(tmp_path / name / "run", evaluations(2, WON, GAME)) for name in ("one", "two")]
    for store in stores:
        report(store, 1)
    one, two = (files(store) for store in stores)
    one["report/report.html"] = one["report/report.html"].replace(b"/one/run", b"/two/run")
    assert one == two


@pytest.mark.parametrize("lost", FILES)
@pytest.mark.parametrize("cut", [False, True])
def test_a_file_that_is_gone_or_cut_off_is_made_again(tmp_path: Path, lost: str, cut: bool) -> None:
    store = toy_run(tmp_path, evaluations(2, WON, GAME))
    report(store, 1)
    before = files(store)
    store.delete(lost)
    if cut:
        store.write(lost, before[lost][:-1])
    assert not report(store, 1).skipped
    assert files(store) == before


def test_a_damaged_report_is_refused_by_name(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(2, WON))
    report(store, 1)
    store.write("report/report.html", store.read("report/report.html")[:-1] + b"#")
    with pytest.raises(UserError, match=r"report/report\.html: its content does not match the digest"):
        report(store, 1)


def test_a_longer_run_gets_a_new_report(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(3, WON, GAME))
    assert len(json.loads(report(store, 1).manifest.read(store, "summary.json"))["iterations"]) == 2
    longer = report(store, 2)
    assert not longer.skipped
    assert len(json.loads(longer.manifest.read(store, "summary.json"))["iterations"]) == 3


def test_other_figures_make_another_report_although_the_answers_are_equal(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(2, WON))
    report(store, 1)
    evaluation(store, 1, {**evaluations(2, WON)[1], "kl": 0.7}, 4, "t1 ")
    assert report(store, 1).metrics["kl"] == 0.7


def test_other_answers_make_another_report_although_the_figures_are_equal(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(2, WON))
    before = report(store, 1).artifacts["report"].content
    evaluation(store, 1, evaluations(2, WON)[1], 4, "something else ")
    after = report(store, 1)
    assert (b"something else" in before, b"something else" in after.artifacts["report"].content) == (False, True)


def test_other_evaluation_settings_make_another_report(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(2, WON))
    report(store, 1)
    known = require_run(store)
    recipe = {**known.recipe, "evaluation": {**known.recipe["evaluation"], "tau": 0.2}}
    Run(known.name, recipe, known.inputs, known.versions).write(store)
    assert not report(store, 1).skipped


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path}: no run here"):
        report(open_store(str(tmp_path)), 1)


def test_mlflow_keeps_the_report_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store = toy_run(tmp_path / "run", evaluations(1, WON))
    opened = tracking.open_run(store, "toy", {})
    assert opened
    known = require_run(store)
    Run(known.name, known.recipe, known.inputs, known.versions, opened.to_json()).write(store)
    for _ in range(2):
        report(store, 0)
    from mlflow import MlflowClient

    names = [artifact.path for artifact in MlflowClient(uri).list_artifacts(opened.parent, "report")]
    assert names == [*FILES]


def call_module(store: Store, executor_input: dict[str, Any], **changed: Any) -> subprocess.CompletedProcess[str]:
    flags = ["--run-root", store.uri, "--iteration", "1", "--recipe", json.dumps({**SETTINGS, **changed})]
    return subprocess.run(
        [sys.executable, "-m", "nashflow.components.reporting", *flags, "--executor-input", json.dumps(executor_input)],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
    )


def test_as_a_step_it_writes_every_declared_output(tmp_path: Path) -> None:
    store = toy_run(tmp_path / "run", evaluations(2, WON, GAME))
    artifacts = {
        name: {"artifacts": [{"name": name, "uri": str(tmp_path / "out" / name)}]} for name in ("report", "metrics")
    }
    done = call_module(store, {"outputs": {"artifacts": artifacts, "outputFile": str(tmp_path / "out" / "all.json")}})
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "report").read_bytes() == store.read("report/report.html")
    described = json.loads((tmp_path / "out" / "all.json").read_text())["artifacts"]
    assert described["metrics"]["artifacts"][0]["metadata"]["duality_gap"] == 0.08
    line = json.loads(done.stdout)
    assert (line["step"], line["iteration"], line["metrics"]["win_rate"]) == ("reporting", 1, 0.54)


def test_as_a_step_it_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    store = toy_run(tmp_path, evaluations(2, WON))
    forget_evaluation(store, 0)
    forget_evaluation(store, 1)
    done = call_module(store, {})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"reporting: {store.uri}: nothing to report yet")
    assert done.stderr.count("\n") == 1
