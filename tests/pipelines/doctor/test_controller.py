"""What the workflow controller's configuration says of retries."""

from collections.abc import Callable

import pytest

from nashflow.pipelines.doctor.case import Case
from tests.pipelines.cluster.server import KfpServer
from tests.pipelines.doctor.cases import RETRY_POLICY, look, the_failure
from tests.pipelines.kubernetes_server import KubernetesServer


@pytest.mark.parametrize(
    ("data", "tried", "found"),
    [
        ({"workflowDefaults": RETRY_POLICY.format("OnError")}, ": OnError", "a step that fails is repeated in its own"),
        ({"workflowDefaults": RETRY_POLICY.format("Always")}, ": Always", "lost pods are replaced, and those of"),
        ({"workflowDefaults": RETRY_POLICY.format("OnTransientError")}, ": OnTransientError", "only after a few"),
        ({"workflowDefaults": "spec: {ttlStrategy: {secondsAfterCompletion: 1}}"}, ": OnFailure, its default", "lost"),
        ({"artifactRepository": "archiveLogs: true"}, ": OnFailure, its default", "lost ones are not"),
        (
            {"config": "workflowDefaults:\n  spec: {templateDefaults: {retryStrategy: {retryPolicy: OnError}}}\n"},
            *(": OnError", "lost pods are replaced"),
        ),
    ],
)
def test_the_policy_is_told_with_what_it_means(
    case: Callable[..., Case], cluster: KubernetesServer, data: dict[str, str], tried: str, found: str
) -> None:
    cluster.controller = data
    (only,) = look(case(), "retries")
    assert (only.state, only.tried) == ("ok", f"Argo's retry policy{tried}")
    assert found in only.found
    assert ("nashflow retry" in only.advice) == ("lost pods" not in only.found)


def test_a_policy_that_is_none(case: Callable[..., Case], cluster: KubernetesServer) -> None:
    cluster.controller = {"workflowDefaults": RETRY_POLICY.format("Sometimes")}
    failure = the_failure(case(), "retries")
    assert failure.tried == "Argo's retry policy: Sometimes"
    assert "OnError, Always" in failure.advice


@pytest.mark.parametrize("text", ["spec: [", "- spec", "spec: {templateDefaults: [1]}"])
def test_a_configuration_that_is_none(case: Callable[..., Case], cluster: KubernetesServer, text: str) -> None:
    cluster.controller = {"workflowDefaults": text}
    failure = the_failure(case(), "retries")
    assert "config map workflow-controller-configmap cannot be read by Argo" in failure.found
    assert "fix what the line names" in failure.advice


def test_a_configuration_that_is_not_to_be_seen_is_no_failure(
    case: Callable[..., Case], cluster: KubernetesServer, kfp: KfpServer
) -> None:
    cluster.forbidden.add(".*/configmaps/workflow-controller-configmap")
    (only,) = look(case(), "retries")
    assert only.state == "not known"
    assert "not allowed to get config map workflow-controller-configmap in kubeflow" in only.found
    cluster.forbidden.clear()
    cluster.controller = None
    (only,) = look(case(), "retries")
    assert (only.state, only.found) == (
        "not known",
        "there is no config map workflow-controller-configmap in kubeflow",
    )


def test_where_kubeflow_has_one_user_it_is_in_the_namespace_of_the_runs(
    case: Callable[..., Case], cluster: KubernetesServer, kfp: KfpServer
) -> None:
    kfp.multi_user = False
    data = {"workflowDefaults": RETRY_POLICY.format("Always")}
    cluster.add("configmaps", "workflow-controller-configmap", data=data)
    (only,) = look(case(), "retries")
    assert only.tried == "Argo's retry policy: Always"
