"""`nashflow run` as a user runs it: real processes, the compiled graph, a folder or S3."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nashflow.components.runtime import lock
from nashflow.components.storage import layout
from nashflow.components.storage.store import open_store
from nashflow.pipelines.local import Event, execute
from nashflow.pipelines.run import _PRELOAD
from tests.fixtures import cli
from tests.fixtures.runs import SandboxRun, snapshot
from tests.pipelines.cluster.server import KfpServer

TWO_SHARDS = (*cli.SMALL, "prompts.shards=2", "run.iterations=2")


@pytest.fixture(scope="module")
def local_run(prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in a folder: two iterations, two shards; its reference is the one that all tests share."""
    root = tmp_path_factory.mktemp("local") / "run"
    cli.give_reference(Path(prepared_root.root), root)
    done = cli.call("run", "quickstart", "--run-root", str(root), sets=TWO_SHARDS, MLFLOW_TRACKING_URI="")
    (root / "terminal.txt").write_text(done.stdout)
    return root


def test_a_run_ends_with_table_figure_report_and_tracker(local_run: Path) -> None:
    terminal = (local_run / "terminal.txt").read_text()
    for word in ("win rate", "gap", "KL", "pairs", "training", "mlflow ui", str(local_run / "report/figure.png")):
        assert word in terminal
    assert (local_run / "report/figure.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in (local_run / "report/report.html").read_text()
    assert (local_run.parent / "mlflow.db").exists()


def test_the_last_lines_name_the_policy_and_a_command_that_shows_mlflow(local_run: Path) -> None:
    lines = (local_run / "terminal.txt").read_text().splitlines()
    places = dict(line.split(maxsplit=1) for line in lines[-6:-2])
    assert {Path(places["policy"])} == set((local_run / "policies/002/main").iterdir())
    assert (Path(places["policy"]) / "model.safetensors").is_file()
    command, uri = lines[-2].removeprefix("runs side by side in MLflow: ").split(" ui --backend-store-uri ")
    assert Path(shutil.which(command) or "").samefile(Path(cli.COMMAND[0]).with_name("mlflow"))
    assert uri == f"sqlite:///{local_run.parent}/mlflow.db"
    assert lines[-1].startswith("  http://127.0.0.1:5000/#/experiments/1/runs?")
    assert cli.here("path", str(local_run)).stdout == f"{places['policy']}\n"
    assert cli.here("path", f"{local_run}@3", check=False).returncode == 2


def test_the_summary_has_every_iteration(local_run: Path) -> None:
    summary = cli.summary(local_run)
    assert [row["iteration"] for row in summary["iterations"]] == [0, 1, 2]
    assert summary["method"] == "inpo"
    first, *later = summary["iterations"]
    assert first["kl"] == 0.0
    assert first["duality_gap"] == pytest.approx(first["duality_gap_exact"], abs=1e-12)
    for row in later:
        assert row["comparisons"] == 96
        assert 80 < row["pairs"] <= 96
        assert row["oracle_calls"] <= 96
        assert row["win_rate_low"] <= row["win_rate"] <= row["win_rate_high"]
        assert set(row["seconds"]) >= {"rollout", "judging", "logprobs", "training", "evaluation"}


def test_no_lock_and_no_journal_are_left(local_run: Path) -> None:
    assert lock.held_by(open_store(str(local_run))) == ("", "")
    files = (str(path) for path in local_run.rglob("[!.]*") if path.is_file())
    assert not [path for path in files if ".journal" in path or "/training/" in path]


def test_the_same_command_again_redoes_nothing(local_run: Path) -> None:
    before = cli.records(local_run)
    done = cli.call("run", "quickstart", "--run-root", str(local_run), sets=TWO_SHARDS, MLFLOW_TRACKING_URI="")
    lines = [line for line in done.stdout.splitlines() if line.startswith("iteration ")]
    assert len(lines) == 1 + 2 * (3 * 2 + 2)
    assert all("finished before" in line for line in lines)
    assert cli.records(local_run) == before


def test_fewer_iterations_than_there_are_change_nothing(local_run: Path) -> None:
    before = snapshot(local_run)
    done = cli.here(
        "run", "quickstart", "--run-root", str(local_run), sets=(*TWO_SHARDS, "run.iterations=1"), check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"nashflow: {local_run}: has 2 iterations already, more than run.iterations = 1")
    assert snapshot(local_run) == before


@pytest.mark.runs
def test_where_mlflow_is_another_the_steps_say_that_they_are_finished(local_run: Path) -> None:
    """As they do on a cluster: each in a process of its own."""
    before = cli.records(local_run)
    done = cli.call("run", "quickstart", "--run-root", str(local_run), sets=TWO_SHARDS)
    lines = [line for line in done.stdout.splitlines() if line.startswith("iteration ")]
    assert len(lines) == 1 + 2 * (3 * 2 + 2)
    assert all("finished before" in line for line in lines)
    assert cli.records(local_run) == before


@pytest.mark.runs
def test_s3_gives_the_same_weights_as_a_folder(local_run: Path, s3_bucket: str) -> None:
    cli.call("run", "quickstart", "--run-root", f"{s3_bucket}/runs/one", sets=TWO_SHARDS)
    remote = json.loads(open_store(f"{s3_bucket}/runs/one").read("report/summary.json"))
    assert [policy["digest"] for policy in remote["policies"]] == cli.weights(local_run)


@pytest.mark.runs
def test_an_extended_run_equals_a_longer_one(tmp_path: Path, local_run: Path) -> None:
    root = tmp_path / "run"
    cli.give_reference(local_run, root)
    cli.call("run", "quickstart", "--run-root", str(root), sets=(*TWO_SHARDS, "run.iterations=1"))
    cli.call("run", "quickstart", "--run-root", str(root), sets=TWO_SHARDS)
    assert cli.weights(root) == cli.weights(local_run)
    assert cli.records(root) == cli.records(local_run)


@pytest.mark.runs
def test_the_papers_bracket_makes_eleven_comparisons_a_prompt(tmp_path: Path, local_run: Path) -> None:
    sets = (*cli.SMALL, "run.iterations=1", "prompts.per_iteration=48")
    cli.give_reference(local_run, tmp_path / "run")
    cli.call("run", "quickstart-tournament", "--run-root", str(tmp_path / "run"), sets=sets)
    row = cli.summary(tmp_path / "run")["iterations"][1]
    assert row["comparisons"] == 11 * 48
    assert row["oracle_calls"] <= row["comparisons"]
    assert 0 < row["pairs"] <= 48


@pytest.mark.runs
def test_two_runs_of_one_world_in_one_figure(tmp_path: Path, local_run: Path) -> None:
    sets = (*cli.SMALL, "run.iterations=1")
    cli.give_reference(local_run, tmp_path / "dpo")
    cli.call("run", "quickstart-iterative-dpo", "--run-root", str(tmp_path / "dpo"), sets=sets)
    figure = tmp_path / "both.png"
    done = cli.call("report", str(local_run), "--with", str(tmp_path / "dpo"), "--output", str(figure))
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert "quickstart: inpo" in done.stdout
    assert "quickstart-iterative-dpo: iterative_dpo" in done.stdout


def test_the_plan_counts_what_the_run_does(local_run: Path) -> None:
    plan = cli.here("plan", "quickstart", sets=TWO_SHARDS).stdout
    assert "20 tasks" in plan
    assert "001/main → 002/main by squared regression on 0.2 of 000/main + 0.8 of 001/main" in plan


@pytest.mark.runs
def test_a_history_that_is_longer_than_the_run_is_rescaled_and_said_so(tmp_path: Path, local_run: Path) -> None:
    cli.give_reference(local_run, tmp_path / "run")
    sets = (*cli.SMALL, "run.iterations=1", "method.history=[0.5, 0.3, 0.2]", "training.epochs=1")
    said = cli.call("run", "sandbox-mnpo", "--run-root", str(tmp_path / "run"), sets=sets).stdout
    assert "iteration 1, main: history names 3 policies, of which 1 exist: rescaled to [1]" in said


# --- a run that goes on ----------------------------------------------------------------------------------------------


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    server = KfpServer()
    yield server
    server.close()


def work(kfp: KfpServer, run: Any, run_root: Path, folder: Path) -> list[str]:
    """Do a run's work, as the cluster would; the steps that were not found finished."""
    spec = kfp.versions[run.pipeline_version_reference.pipeline_version_id].pipeline_spec
    text = yaml.safe_dump_all([spec["pipeline_spec"], spec["platform_spec"]])
    package = folder / "pipeline.yaml"
    folder.mkdir()
    package.write_text(text.replace("{{$.pipeline_job_uuid}}", run.run_id))
    ended: list[Event] = []
    given = run.runtime_config.parameters | {"run_root": str(run_root)}
    execute(package, given, folder, _PRELOAD, {"OMP_NUM_THREADS": "1"}, ended.append)
    return [
        event.argv[2].rpartition(".")[2]
        for event in ended
        if event.state == "succeeded" and not event.records[-1]["skipped"]
    ]


@pytest.mark.runs
def test_a_graph_of_later_iterations_goes_on_under_the_same_run_root(
    local_run: Path, kfp: KfpServer, tmp_path: Path
) -> None:
    """One iteration, and one more: the graphs that the server was sent, executed one after the other."""
    run_root, options = tmp_path / "runs/long", ("--host", kfp.url, "--run-root", "s3://bucket/long")
    cli.give_reference(local_run, run_root)
    cli.call("submit", "quickstart", *options, sets=(*TWO_SHARDS, "run.iterations=1"))
    cli.call("submit", "quickstart", *options, "--first-iteration", "2", sets=TWO_SHARDS)
    first, second = kfp.runs.values()
    assert work(kfp, first, run_root, tmp_path / "first").count("training") == 1
    steps = work(kfp, second, run_root, tmp_path / "second")
    assert (steps[0], steps[-1], steps.count("training")) == ("preparation", "closing", 1)
    assert lock.held_by(open_store(str(run_root))) == ("", "")
    assert cli.records(run_root) == cli.records(local_run)
    assert cli.weights(run_root) == cli.weights(local_run)
    assert json.loads((run_root / layout.OUTCOME).read_text())["job"] == second.run_id
