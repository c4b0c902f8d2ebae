"""Runs are found in a real MLflow: by name, id, tag, experiment and search string."""

import contextlib
import json
import resource
import shutil
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from nashflow.components.core.errors import UserError
from nashflow.pipelines.compare.finding import MOST, Wanted, find
from tests.components.reports.toy_runs import GAME, evaluations, toy_run
from tests.fixtures import cli
from tests.fixtures.mlflow_store import Server

NAMES = ("inpo", "inpo-fast", "dpo")


@pytest.fixture
def store(tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of an SQLite store with three runs of NashFlow's in two experiments, and one of somebody else's."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    first, second = client.create_experiment("nashflow"), client.create_experiment("other")
    for place, name in enumerate(NAMES):
        (tmp_path / name).mkdir()
        make(client, second if name == "dpo" else first, name, str(tmp_path / name), 1 + place, eta=str(place))
    client.create_run(first, run_name="theirs")
    return uri


def make(client: MlflowClient, experiment: str, name: str, root: str, began: int = 0, eta: str = "0") -> str:
    """A run root's run in MLflow, as preparation makes it; its id."""
    tags = {"nashflow.kind": "run", "nashflow.run_root": root, "team": "alignment" if name != "dpo" else "baselines"}
    run = client.create_run(experiment, began, tags, name)
    client.log_param(run.info.run_id, "method.eta", eta)
    return str(run.info.run_id)


def names(wanted: Wanted) -> list[str]:
    """The names of the run roots that are found."""
    return [Path(found.run_root).name for found in find(wanted)]


def test_runs_are_found_by_whatever_tells_them(store: str) -> None:
    client = MlflowClient(store)
    (run,) = client.search_runs(["1"], "attributes.run_name = 'inpo-fast'")
    assert names(Wanted(("inpo", "dpo"))) == ["inpo", "dpo"]
    assert names(Wanted((run.info.run_id, "inpo"))) == ["inpo-fast", "inpo"]
    client.set_tag(run.info.run_id, "nashflow.recipe", "fast")
    assert names(Wanted(("fast", "dpo"))) == ["inpo-fast", "dpo"], "a recipe's name, where no run has it"
    assert names(Wanted((), experiment="nashflow")) == ["inpo", "inpo-fast"]
    assert names(Wanted((), tags=("team=alignment",))) == ["inpo", "inpo-fast"]
    assert names(Wanted((), search="params.`method.eta` != '1'")) == ["inpo", "dpo"]
    assert names(Wanted(("dpo",), tags=("team=alignment",), search="params.`method.eta` = '1'")) == ["dpo", "inpo-fast"]
    assert names(Wanted((), tags=("team=alignment",), baseline="dpo")) == ["dpo", "inpo", "inpo-fast"]


def test_a_run_root_needs_no_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    roots = [toy_run(tmp_path / name, evaluations(3, GAME)).uri for name in ("a", "b")]
    assert [found.run_root for found in find(Wanted(roots))] == roots


def test_one_run_named_twice_is_one(store: str, tmp_path: Path) -> None:
    assert names(Wanted(("inpo", "inpo", "dpo"), tags=("team=alignment",))) == ["inpo", "dpo", "inpo-fast"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(("inpo", "inpo-fst")), "inpo-fst: no run root, and .* no run of this .*; did you mean inpo-fast"),
        (Wanted(("inpo", "theirs")), "theirs: no run root, and .* no run of this name"),
        (Wanted((), experiment="nashflo"), "--experiment nashflo: not in .*; did you mean nashflow"),
        (Wanted((), tags=("team",)), "--tag team: give KEY=VALUE"),
        (Wanted((), tags=("team=x",)), "team=x: MLflow at .* has no run of NashFlow's like this"),
        (Wanted((), search="params.eta ~ 3"), "--search: MLflow does not understand params.eta ~ 3: "),
        (Wanted(("it's \"so\"", "inpo")), "both kinds of quotation marks"),
        (Wanted(()), "nothing to compare"),
        (Wanted((), experiment="other"), "one run alone is found"),
    ],
)  # fmt: skip
def test_what_is_not_found_is_told_in_one_line(store: str, wanted: Wanted, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        find(wanted)
    assert "\n" not in str(caught.value)


def test_a_run_whose_data_are_elsewhere_says_where(store: str) -> None:
    make(MlflowClient(store), "1", "far", "/somewhere/else")
    with pytest.raises(UserError, match="far: its run root /somewhere/else is not on this machine"):
        find(Wanted(("inpo", "far")))


def test_too_many_runs_are_not_compared(store: str, tmp_path: Path) -> None:
    for place in range(MOST):
        (tmp_path / f"run-{place}").mkdir()
        make(MlflowClient(store), "1", f"run-{place}", str(tmp_path / f"run-{place}"))
    with pytest.raises(UserError, match="add --tag or --search"):
        find(Wanted((), experiment="nashflow", tags=("team=alignment",)))


def test_without_mlflow_names_say_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="inpo: no run root; to find runs in MLflow, set MLFLOW_TRACKING_URI"):
        find(Wanted(("inpo", "dpo")))
    with pytest.raises(UserError, match="to find runs in MLflow, set"):
        find(Wanted((), tags=("team=alignment",)))


def test_the_store_of_this_folders_runs_is_the_default(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "runs")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.chdir(tmp_path)
    assert names(Wanted(("inpo", "dpo"))) == ["inpo", "dpo"]


def test_a_server_that_is_away_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"MLflow at http://127\.0\.0\.1:1: ") as caught:
        find(Wanted(("inpo", "dpo")))
    assert "\n" not in str(caught.value)


def test_an_mlflow_older_than_3_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"2.22.0")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Old)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    with pytest.raises(UserError, match=r"is 2\.22\.0, and MLflow before 3"):
        find(Wanted(("inpo", "dpo")))
    server.shutdown()


@pytest.mark.slow
def test_five_runs_are_compared_as_fast_among_ten_thousand(
    mlflow_server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the command's own processor time, which other work on the machine changes little; with the page."""
    client = MlflowClient(mlflow_server.uri)
    experiment = client.create_experiment("nashflow")
    runs = [f"run-{place}" for place in range(5)]
    for name in runs:
        toy_run(tmp_path / name, evaluations(4, [*GAME, GAME[-1]]), name=name, shards=2)
        cli.here("report", str(tmp_path / name))
        make(client, experiment, name, str(tmp_path / name))
    few = seconds_of(runs, mlflow_server.uri, tmp_path)
    crowd(tmp_path / "server" / "mlflow.db", experiment, 10_000)
    assert len(client.search_runs([experiment], max_results=20_000)) == 10_005
    many = seconds_of(runs, mlflow_server.uri, tmp_path)
    with capsys.disabled():
        print(f"\nseconds (wall, processor) among 5 runs: {few}, among 10,005: {many}")
    assert many[1] < 1.5 * few[1]


def seconds_of(runs: list[str], uri: str, folder: Path) -> tuple[float, float]:
    """How long a comparison takes that is right: the wall's seconds, and the command's own processor time."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = cli.call("compare", *runs, "--output", str(folder / "x.html"), "--json", MLFLOW_TRACKING_URI=uri)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert [run["label"] for run in json.loads(done.stdout)["runs"]] == runs
    return round(wall, 2), round(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, 2)


def crowd(database: Path, experiment: str, count: int) -> None:
    """Fill a store with copies of its newest run, whose every row is repeated under new ids."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for table in ("runs", "tags", "params", "metrics", "latest_metrics"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            where = "experiment_id = ? LIMIT 1" if table == "runs" else "run_uuid = (SELECT run_uuid FROM runs LIMIT 1)"
            rows = connection.execute(f"SELECT * FROM {table} WHERE {where}", (experiment,) * (table == "runs"))
            made = [copied(dict(zip(columns, row, strict=True)), place) for row in rows for place in range(count)]
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", [[row[c] for c in columns] for row in made])
        connection.commit()


def copied(row: dict[str, Any], place: int) -> dict[str, Any]:
    """A row of another run."""
    return row | {"run_uuid": f"{place:032x}"} | ({"name": f"crowd-{place}"} if "name" in row else {})
