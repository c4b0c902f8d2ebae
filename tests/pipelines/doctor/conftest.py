"""A cluster that has all that the paper's recipe needs, Kubeflow Pipelines, and the command."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from kubernetes.config import kube_config

from nashflow.pipelines import cli
from nashflow.pipelines.cluster.api import connection
from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.commands import app
from nashflow.pipelines.doctor.case import Case
from tests.pipelines.cluster.server import KfpServer
from tests.pipelines.doctor.cases import IMAGES, KEYS, RETRY_POLICY, VARIABLES, paper
from tests.pipelines.kubernetes_server import TRAINER, KubernetesServer, claim, node


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KubernetesServer]:
    """The cluster, and its kubeconfig as the user's own."""
    server = KubernetesServer()
    server.add("secrets", "nashflow-s3", data=KEYS, type="Opaque")
    server.add("configmaps", "nashflow-env", data=VARIABLES)
    server.add("serviceaccounts", "nashflow-runner")
    server.add("persistentvolumeclaims", "nashflow-models", **claim())
    labels = {"nvidia.com/gpu.product": "H100"}
    server.nodes = [
        node("a", taints=["nvidia.com/gpu=:NoSchedule"], labels=labels),
        node("b", taints=["nvidia.com/gpu=present:NoSchedule"], labels=labels),
        node("c", 0, cpu="8", memory="64Gi"),
    ]
    server.controller = {"workflowDefaults": RETRY_POLICY.format("OnError")}
    server.served["trainer.kubeflow.org/v1alpha1"] = TRAINER
    config = server.kubeconfig(tmp_path / "kubeconfig")
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(config))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    yield server
    server.stop()


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KfpServer]:
    """Kubeflow Pipelines for several users, with short waits."""
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH", "KFP_EXISTING_TOKEN", "KFP_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(connection._Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.setattr(connection, "_PATIENCE_SECONDS", 0.2)
    server = KfpServer()
    server.multi_user = True
    yield server
    server.stop()


@pytest.fixture
def case(cluster: KubernetesServer, kfp: KfpServer) -> Callable[..., Case]:
    """The paper's recipe with overrides, on both."""
    return lambda *overrides: Case(paper(*IMAGES, *overrides), Access(kfp.url, "team"))


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`nashflow` with the commands before and after runs alone: exit code, stdout, stderr."""
    main = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    main.add_typer(app)
    monkeypatch.setattr(cli, "app", main)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("MLFLOW_TRACKING_URI", "NASHFLOW_JUDGE_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["nashflow", *arguments])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        return (int(exit.value.code or 0), *capsys.readouterr())

    return run
