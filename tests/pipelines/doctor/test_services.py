"""What `nashflow doctor` finds at the services beside the cluster: object store, MLflow, judge."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from nashflow.components.storage.store import open_store
from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.doctor import object_store
from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.examination import CHECKS, examine
from nashflow.pipelines.doctor.finding import Finding
from nashflow.pipelines.recipe import load_recipe
from tests.fixtures.s3 import Reply, S3Server
from tests.fixtures.tracking import free_port


def look(name: str, recipe: str = "quickstart", **options: str) -> list[Finding]:
    """What one check finds."""
    case = Case(load_recipe(recipe) if recipe else None, Access(), **options)
    return list(examine(case, tuple(other for other in CHECKS if other != name)))


def states(findings: list[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def failures(findings: list[Finding]) -> list[Finding]:
    failed = [finding for finding in findings if finding.state == "failed"]
    assert all(finding.advice for finding in failed)
    return failed


# --- object store ----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "NASHFLOW_JUDGE"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def on(bucket: str, folder: str = "runs/{job}") -> list[Finding]:
    return look("object store", run_root=f"{bucket}/{folder}")


@pytest.mark.parametrize("folder", ["runs/{job}/root", ""])
def test_a_store_that_does_it_all_is_left_as_it_was(s3_bucket: str, folder: str) -> None:
    open_store(f"{s3_bucket}/runs").write("kept", b"x")
    found = on(s3_bucket, folder)
    assert states(found) == ["ok"] * 4
    assert [re.split(r" with| below|, ", finding.tried)[0] for finding in found] == [
        *("write", "If-None-Match", "a file of 9 MiB", "deleting the probe objects"),
    ]
    assert open_store(s3_bucket).list() == ["runs/kept"]


def test_a_large_file_really_travels_in_parts(s3_bucket: str, s3_server: S3Server) -> None:
    requests: list[str] = []

    def note(method: str, reply: Reply) -> Reply:
        requests.append(method)
        return reply

    s3_server.spoil = note
    on(s3_bucket)
    # One write, ten races to create; a multipart upload is begun, has two parts and is completed.
    assert (requests.count("POST"), requests.count("PUT")) == (2, 1 + 10 * 2 + 2)


Spoil = Callable[[str, Reply], Reply]


def deny(*methods: str) -> Spoil:
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    return lambda method, reply: ("403 Forbidden", [], body) if method in methods else reply


def corrupt(method: str, reply: Reply) -> Reply:
    return (reply[0], reply[1], reply[2].replace(b"NashFlow", b"NashFlaw")) if method == "GET" else reply


@pytest.mark.parametrize(
    ("spoil", "found", "advice"),
    [
        (deny("PUT"), "denied", "s3:PutObject"),
        (deny("POST"), "denied", "AbortMultipartUpload"),
        (corrupt, "corrupt", "s3:"),
    ],
)
def test_what_the_store_lacks_is_found_and_nothing_is_left(
    s3_bucket: str, s3_server: S3Server, spoil: Spoil, found: str, advice: str
) -> None:
    s3_server.spoil = spoil
    (failure, *others) = failures(on(s3_bucket))
    assert found in failure.found
    assert advice in failure.advice
    assert others == []
    s3_server.spoil = None
    assert open_store(s3_bucket).list() == []


def test_a_store_that_refuses_checksums_is_found_with_what_to_set(
    s3_bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.knows_checksums = False
    (failure,) = failures(on(s3_bucket))
    assert (failure.tried, "NotImplemented" in failure.found) == ("a write with S3's checksums", True)
    here, _, pods = failure.advice.partition("; for pods ")
    for setting in here.removeprefix("set ").split(" and "):
        monkeypatch.setenv(*setting.split("="))
    (failure,) = failures(on(s3_bucket))  # here it works now, and the recipe does not pass them on
    assert (failure.tried, failure.advice) == ("a write with S3's checksums, as pods make it", pods)
    names = re.findall(r"AWS_\w+", pods)
    source = f"cluster.config_maps=[{{name: here, keys: {{{', '.join(f'{name}: {name}' for name in names)}}}}}]"
    case = Case(load_recipe("quickstart", [source]), Access(), run_root=f"{s3_bucket}/runs")
    assert states(list(object_store.object_store(case))) == ["ok"] * 4
    assert open_store(s3_bucket).list() == []


def test_what_cannot_be_deleted_is_named(s3_bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, refusal = s3_server._moto, deny("DELETE")("DELETE", ("", [], b""))

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["REQUEST_METHOD"] != "DELETE":
            return whole(environ, start_response)
        start_response(refusal[0], refusal[1])
        return [refusal[2]]

    monkeypatch.setattr(s3_server, "_moto", guarded)
    (failure,) = failures(on(s3_bucket))
    left = open_store(s3_bucket).list()
    assert {"file", "probe"} < {key.rpartition("/")[2] for key in left}
    assert f"then delete {s3_bucket}/{left[0].rpartition('/')[0]}" in failure.advice
    assert "denied" in failure.found


def test_a_probe_that_is_killed_midway_is_removed(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(store: Any) -> Finding:
        raise KeyboardInterrupt

    monkeypatch.setattr(object_store, "_conditional", stopped)
    with pytest.raises(KeyboardInterrupt):
        on(s3_bucket)
    assert open_store(s3_bucket).list() == []


@pytest.mark.usefixtures("s3_server")
@pytest.mark.parametrize(
    ("root", "state", "found"),
    [
        ("s3://no-such-bucket/runs", "failed", "create it"),
        ("s3://a b/runs", "failed", "bucket"),
        ("s3://", "failed", "no bucket in 's3://': write s3://bucket/prefix"),
        ("s3://{job}", "failed", "no bucket in 's3://{job}'"),
        ("/home/me/runs", "failed", "do not see this machine"),
        ("", "not tried", "no run root"),
    ],
)
def test_a_run_root_that_cannot_be_one(root: str, state: str, found: str) -> None:
    (only,) = look("object store", run_root=root)
    assert only.state == state
    assert found in only.found
    assert "s3:" in only.advice


def test_a_store_that_is_away_is_given_up_soon(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    (failure,) = failures(on("s3://bucket"))
    assert "AWS_ENDPOINT_URL_S3" in failure.found
    assert sum(pauses) < 15


def test_without_credentials_nothing_is_tried(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (only,) = on("s3://bucket")
    assert (only.state, only.found) == ("not tried", "no credentials here")
    assert "AWS_PROFILE" in only.advice


# --- MLflow ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tracking(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


def live(client: MlflowClient) -> tuple[list[str], int]:
    """The names of the experiments that there are, and the number of runs in them."""
    there = client.search_experiments()
    return sorted(each.name for each in there), len(client.search_runs([each.experiment_id for each in there]))


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_is_made_and_deleted_again(tracking: MlflowClient, tmp_path: Path, exists: bool) -> None:
    if exists:
        tracking.create_experiment("nashflow", str(tmp_path / "mlartifacts"))
    before = live(tracking)
    found = look("MLflow")
    assert states(found) == ["ok"] * 5
    assert ("is there" if exists else "can be made") in found[1].found
    assert live(tracking) == before
    assert not list(tmp_path.rglob("probe.txt"))


def test_a_deleted_experiment_keeps_its_name(tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    deleted = tracking.create_experiment("ours")
    tracking.delete_experiment(deleted)
    (failure,) = failures(look("MLflow"))
    assert f"mlflow experiments restore --experiment-id {deleted}" in failure.advice


def test_artifacts_that_cannot_be_written_are_said_and_the_run_is_deleted(
    tracking: MlflowClient, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    tracking.create_experiment("nashflow", str(tmp_path / "file" / "artifacts"))
    found = look("MLflow")
    (failure,) = failures(found)
    assert failure.tried.startswith("an artifact at")
    assert found[-1].found == "deleted"
    assert live(tracking)[1] == 0


def test_a_run_that_cannot_be_logged_to_is_deleted_nevertheless(
    tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    def refuse(*arguments: Any, **options: Any) -> None:
        raise MlflowException("no room")

    monkeypatch.setattr(MlflowClient, "log_metric", refuse)
    (failure,) = failures(look("MLflow"))
    assert "no room" in failure.found
    assert live(tracking) == (["Default"], 0)


@pytest.mark.parametrize("uri", ["http://joe:hunter2@127.0.0.1:{port}", "sqlite:////nowhere/mlflow.db", "gopher://x"])
def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (failure,) = failures(look("MLflow"))
    assert "MLFLOW_TRACKING_URI" in failure.advice
    assert "hunter2" not in failure.found + failure.tried


def test_without_an_address_it_is_needed_if_the_recipe_says_so() -> None:
    assert states(look("MLflow")) == ["not needed"]
    (only,) = look("MLflow", "inpo-llama3-8b")
    assert only.state == "not tried"
    assert "set MLFLOW_TRACKING_URI" in only.advice


@pytest.mark.slow
def test_against_an_mlflow_server_that_passes_artifacts_on(
    tracking: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    command = [str(Path(sys.executable).with_name("mlflow")), "server", "--backend-store-uri", tracking.tracking_uri]
    options = ["--artifacts-destination", str(tmp_path / "artifacts"), "--port", str(port), "--workers", "1"]
    server = subprocess.Popen([*command, *options], start_new_session=True, stdout=subprocess.DEVNULL, stderr=-3)
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        while server.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).read()
                break
            except OSError:
                time.sleep(0.2)
        found = look("MLflow")
        assert states(found) == ["ok"] * 5, found
        assert any("mlflow-artifacts:" in each.tried for each in found)
        assert live(tracking) == (["Default"], 0)
        assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


# --- judge -----------------------------------------------------------------------------------------------------------


class Judge(ThreadingHTTPServer):
    """What vLLM's server answers to the two questions; `answers` by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.key = ""
        self.answers: dict[str, tuple[int, str]] = {
            "/health": (200, ""),
            "/v1/models": (200, json.dumps({"object": "list", "data": [{"id": "judge", "object": "model"}]})),
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Judge

    def do_GET(self) -> None:
        code, body = self.server.answers[self.path]
        if self.path != "/health" and self.server.key not in self.headers.get("Authorization", ""):
            code, body = 401, ""
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def judge() -> Iterator[Judge]:
    with Judge() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/"])
def test_a_judge_that_is_well(judge: Judge, tail: str) -> None:
    found = look("judge", judge_url=judge.url + tail)
    assert [(each.state, each.found) for each in found] == [("ok", "healthy"), ("ok", "serves judge")]


@pytest.mark.parametrize(
    ("path", "code", "body", "found", "advice"),
    [
        ("/health", 503, "", "503", "still being loaded"),
        ("/health", 404, "", "404", "--judge-url"),
        ("/v1/models", 401, "", "401", "NASHFLOW_JUDGE_API_KEY"),
        ("/v1/models", 200, "<html>", "JSONDecodeError", "--judge-url"),
        ("/v1/models", 200, "[]", "TypeError", "--judge-url"),
        ("/v1/models", 200, '{"data": []}', "serves no model", "judge.model"),
    ],
)
def test_a_judge_that_is_not(judge: Judge, path: str, code: int, body: str, found: str, advice: str) -> None:
    judge.answers[path] = (code, body)
    (failure,) = failures(look("judge", judge_url=judge.url))
    assert found in failure.found
    assert advice in failure.advice


def test_a_password_in_the_address_is_sent_and_not_shown(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    url = judge.url.replace("http://", "http://joe:hunter%402@")
    judge.key = "Basic " + base64.b64encode(b"joe:hunter@2").decode()
    found = look("judge", judge_url=f"{url}/v1")
    assert states(found) == ["ok", "ok"]
    judge.key = "Basic of somebody else"
    found += look("judge", judge_url=url) + look("judge", judge_url=f"http://joe:hunter%402@127.0.0.1:{free_port()}")
    found += look("judge", judge_url="http://joe:hunter%402@[bad")
    assert states(found)[2:] == ["ok", "failed", "failed", "failed"]
    assert "hunter" not in str(found)


def test_a_judge_with_a_key(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    judge.key = "Bearer hunter2"
    assert states(look("judge", judge_url=judge.url)) == ["ok", "failed"]
    monkeypatch.setenv("NASHFLOW_JUDGE_API_KEY", "hunter2")
    assert states(look("judge", judge_url=judge.url)) == ["ok", "ok"]


def test_the_judge_of_a_recipe(judge: Judge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    judge.key = "Bearer hunter2"

    def found(model: str) -> tuple[str, str, str]:
        recipe = {
            "kind": "llm_judge",
            "model": model,
            "endpoint": {"url": f"{judge.url}/v1", "api_key_variable": "MINE"},
        }
        (tmp_path / "judged.yaml").write_text(json.dumps({"extends": "inpo-llama3-8b", "oracle": recipe}))
        (finding,) = look("judge", str(tmp_path / "judged.yaml"))
        return finding.state, finding.found, finding.advice

    monkeypatch.delenv("MINE", raising=False)
    assert found("judge")[:2] == ("not tried", "MINE is not set here, where nashflow doctor runs")
    monkeypatch.setenv("MINE", "hunter1")
    assert found("judge")[:2] == ("failed", "answers 401 Unauthorized")
    monkeypatch.setenv("MINE", "hunter2")
    assert found("judge") == ("ok", "serves judge", "")
    assert found("other") == (
        "failed",
        "serves judge",
        "set oracle.model, which is other, to a model of the server's",
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "no url at all", "ftp://127.0.0.1:{port}"])
def test_a_judge_that_is_not_there(url: str) -> None:
    (failure,) = failures(look("judge", judge_url=url.format(port=free_port())))
    assert "--judge-url" in failure.advice


def test_a_judge_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from nashflow.pipelines.doctor import judge as module

    monkeypatch.setattr(module, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (failure,) = failures(look("judge", judge_url=f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert "timed out" in failure.found


def test_no_judge_is_needed() -> None:
    assert states(look("judge")) == ["not needed"]
