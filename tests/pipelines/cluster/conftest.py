"""A server, and the command as users call it, with waits cut to milliseconds."""

import math
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kfp_server_api
import pytest
import tenacity
import typer
from kfp.client import Client
from kfp_server_api.rest import RESTClientObject

from nashflow.pipelines import cli, graph
from nashflow.pipelines.cluster.api import connection, creation, repeating
from nashflow.pipelines.cluster.commands import app as client_app
from nashflow.pipelines.cluster.following import progress, waiting
from nashflow.pipelines.cluster.schedules.commands import app as schedule_app
from nashflow.pipelines.cluster.submission import package
from nashflow.pipelines.recipe import Recipe

from .pod_server import PodServer
from .server import NEVER, KfpServer

ROOT = "s3://bucket/runs/one"


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr of a command that was refused."""
        (line,) = self.err.splitlines()
        return line


Call = Callable[..., Done]


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    server = KfpServer()
    yield server
    server.close()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: None) -> Iterator[PodServer]:
    """The Kubernetes API, to which the current kube context leads."""
    server = PodServer(tmp_path)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(server.kubeconfig))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No environment of the user's, and short waits."""
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH", "KFP_EXISTING_TOKEN", "KFP_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("KF_PIPELINES_UI_ENDPOINT", "KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.setattr(repeating, "WAIT", tenacity.wait_fixed(0.01))
    monkeypatch.setattr(waiting, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(progress, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(creation, "_SETTLE_SECONDS", 0.15)
    monkeypatch.setattr(creation, "_LOOK_SECONDS", 0.02)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, kfp: KfpServer) -> None:
    """A client that soon gives up a server that is away, or a request that a fault leaves without an answer.

    All other requests have the time that they have in earnest, so that on a busy machine none of them is given up.
    """
    monkeypatch.setattr(connection, "_PATIENCE_SECONDS", 0.3)
    usual = RESTClientObject.request

    def request(self: Any, method: str, url: str, *, _request_timeout: Any, **options: Any) -> Any:
        assert _request_timeout == connection._SECONDS
        slow = kfp.will_be_slow(f"{method} {urlsplit(url).path}")
        return usual(self, method, url, _request_timeout=(10.0, 0.1) if slow else _request_timeout, **options)

    monkeypatch.setattr(RESTClientObject, "request", request)


@pytest.fixture
def settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that looks for what a broken request has made until it finds it."""
    monkeypatch.setattr(creation, "_SETTLE_SECONDS", math.inf)


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One compilation per recipe and test process: compiling has tests of its own."""
    cache = tmp_path_factory.getbasetemp() / "compiled"
    cache.mkdir(exist_ok=True)

    def compile_graph(recipe: Recipe, file: Path, first: int) -> None:
        kept = cache / f"{abs(hash((recipe.model_dump_json(), first)))}.yaml"
        if not kept.exists():
            graph.compile_graph(recipe, kept, first)
        shutil.copy(kept, file)

    monkeypatch.setattr(package, "compile_graph", compile_graph)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The `nashflow` command in this process."""
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.add_typer(client_app)
    app.add_typer(schedule_app, name="schedule")
    monkeypatch.setattr(cli, "app", app)

    def run(*arguments: Any) -> Done:
        monkeypatch.setattr("sys.argv", ["nashflow", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code: Any = 0
        except SystemExit as exit:
            code = exit.code or 0
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


def begun(kfp: KfpServer, run_root: str = "", **fields: Any) -> Any:
    """A run that the server knows, of a version that it does not, as if it had been submitted long ago."""
    run_id = fields.pop("run_id", str(uuid.uuid4()))
    run = kfp_server_api.V2beta1Run(
        run_id=run_id,
        display_name=f"quickstart-{run_id[:8]}",
        state="PENDING",
        created_at=kfp.now(),
        finished_at=NEVER,
        state_history=[],
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters={"run_root": run_root} if run_root else {}),
    )
    for name, value in fields.items():
        setattr(run, name, value)
    kfp.runs[run_id] = run
    return run


@pytest.fixture
def submit(call: Call, kfp: KfpServer) -> Call:
    """`nashflow submit` of a small recipe."""

    def run(*options: Any) -> Done:
        return call(
            "submit", "quickstart", "--set", "run.iterations=1", "--run-root", ROOT, "--host", kfp.url, *options
        )

    return run
