"""Where Kubeflow is installed for one user, pods run in its own namespace, whatever namespace is named."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.doctor.case import Case, Kubeflow
from tests.pipelines.cluster.server import KfpServer
from tests.pipelines.doctor.cases import IN_CLUSTER, RETRY_POLICY, look, paper, states, the_failure
from tests.pipelines.kubernetes_server import KubernetesServer

OF_THE_NAMESPACE = {"service account", "secrets", "config maps", "quotas", "model cache"}


@pytest.fixture
def alone(kfp: KfpServer, cluster: KubernetesServer) -> KfpServer:
    """Kubeflow Pipelines for one user."""
    kfp.multi_user = False
    data = {"workflowDefaults": RETRY_POLICY.format("OnError")}
    cluster.add("configmaps", "workflow-controller-configmap", data=data)
    return kfp


def test_another_namespace_than_kubeflows_is_meaningless(case: Callable[..., Case], alone: KfpServer) -> None:
    failure = the_failure(case(), "Kubeflow")
    assert (failure.tried, failure.found) == (
        "the namespace team",
        "pods run in Kubeflow's own namespace, which team is not",
    )
    assert "its own with --namespace and install the chart there" in failure.advice
    assert "several users" in failure.advice
    found = look(case(), *IN_CLUSTER)
    assert {each.check for each in found if each.state == "not tried"} == OF_THE_NAMESPACE
    assert not [each for each in found if "in team" in each.tried]


def test_kubeflows_own_namespace_is_right(
    case: Callable[..., Case], alone: KfpServer, cluster: KubernetesServer
) -> None:
    cluster.add("services", "ml-pipeline")
    found = look(case(), "Kubeflow", *IN_CLUSTER)
    assert {each.state for each in found} == {"ok", "not needed"}
    assert {each.check for each in found} >= OF_THE_NAMESPACE


def test_where_services_may_not_be_looked_at_nobody_can_tell(
    case: Callable[..., Case], alone: KfpServer, cluster: KubernetesServer
) -> None:
    cluster.forbidden.add(".*/services/.*")
    assert {*states(look(case(), "Kubeflow", *IN_CLUSTER))} == {"ok", "not needed"}


@pytest.mark.parametrize(
    ("access", "namespace"),
    [
        (Access("http://ml-pipeline.kubeflow.svc.cluster.local:8888"), "kubeflow"),
        (Access("http://ml-pipeline.kfp.svc:8888"), "kfp"),
        (Access("http://ml-pipeline.kfp:8888/pipeline"), "kfp"),
        (Access(kube_context="here"), "kubeflow"),
        (Access("https://kubeflow.example.com/pipeline"), ""),
        (Access("http://127.0.0.1:8888"), ""),
    ],
)
def test_the_way_to_kubeflow_tells_its_namespace(
    cluster: KubernetesServer, access: Access, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeflow = Kubeflow(SimpleNamespace(access=access), False)  # type: ignore[arg-type]
    assert kubeflow.namespace == namespace
    monkeypatch.setattr(Case, "opened_kubeflow", kubeflow)
    cluster.forbidden.add(".*/services/.*")
    said = Case(paper(), Access(access.host, "team")).namespace_mismatch
    assert said == (f"pods run in {namespace}, not in team" if namespace else "")
    assert Case(paper(), Access(access.host, namespace)).namespace_mismatch == ""


def test_without_kubernetes_the_given_namespace_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = Access("http://ml-pipeline.kfp.svc:8888", "team")
    monkeypatch.setattr(Case, "opened_cluster", ConnectionError("away"))
    monkeypatch.setattr(Case, "opened_kubeflow", Kubeflow(SimpleNamespace(access=access), False))  # type: ignore[arg-type]
    assert Case(paper(), access).namespace_mismatch == "pods run in kfp, not in team"
    assert Case(paper(), Access(access.host)).namespace_mismatch == ""


def test_in_an_installation_for_one_user_kubeflow_asks_nobody(case: Callable[..., Case], alone: KfpServer) -> None:
    assert states(look(case(), "submitting")) == ["not needed"]
