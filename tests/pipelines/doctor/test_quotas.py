"""Quotas: what they leave of what steps ask for, and whether they admit the containers that Argo adds."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client

from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.finding import Finding
from nashflow.pipelines.recipe import load_recipe
from tests.pipelines.cluster.server import KfpServer
from tests.pipelines.doctor.cases import look, states, the_failure
from tests.pipelines.kubernetes_server import KubernetesServer

EXECUTOR = "resources: {requests: {cpu: 10m}, limits: {cpu: 500m, memory: 512Mi}}"


@pytest.fixture
def quickstart(cluster: KubernetesServer, kfp: KfpServer) -> Callable[..., Case]:
    """The quickstart, whose every step asks for a quarter of a core, two at most, and 2 GiB."""
    cluster.controller = {"executor": EXECUTOR}
    return lambda *overrides: Case(load_recipe("quickstart", overrides), Access(kfp.url, "team"))


def quota(cluster: KubernetesServer, hard: dict[str, str], used: dict[str, str], **spec: Any) -> None:
    cluster.add(
        "resourcequotas",
        "team-quota",
        spec=client.V1ResourceQuotaSpec(hard=hard, **spec),
        status=client.V1ResourceQuotaStatus(hard=hard, used=used),
    )


def defaults(cluster: KubernetesServer, kind: str = "Container", **given: Any) -> None:
    item = client.V1LimitRangeItem(type=kind, **given)
    cluster.add("limitranges", "defaults", spec=client.V1LimitRangeSpec(limits=[item]))


def test_without_quotas_none_is_needed(quickstart: Callable[..., Case]) -> None:
    assert states(look(quickstart(), "quotas")) == ["not needed"]


@pytest.mark.parametrize(
    ("hard", "used", "found"),
    [
        ({"cpu": "4"}, {"cpu": "3750m"}, ""),
        ({"cpu": "4"}, {"cpu": "3751m"}, "leaves 0.249 of 4 cpu, and preparation asks for 0.25"),
        ({"requests.cpu": "200m"}, {}, "leaves 0.2 of 0.2 requests.cpu, and preparation asks for 0.25"),
        ({"limits.cpu": "4"}, {"limits.cpu": "2"}, ""),
        ({"limits.cpu": "4"}, {"limits.cpu": "2500m"}, "leaves 1.5 of 4 limits.cpu, and preparation asks for 2"),
        ({"memory": "8Gi"}, {"memory": "7Gi"}, "leaves 1Gi of 8Gi memory, and preparation asks for 2Gi"),
        ({"limits.memory": "1Gi"}, {}, "leaves 1Gi of 1Gi limits.memory, and preparation asks for 2Gi"),
        ({"pods": "10"}, {"pods": "10"}, "leaves 0 of 10 pods, and preparation asks for 1"),
        ({"count/pods": "10", "secrets": "0"}, {"count/pods": "9"}, ""),
        (
            {"cpu": "1", "pods": "1"},
            {"cpu": "2", "pods": "1"},
            "leaves 0 of 1 cpu, and preparation asks for 0.25; 0 of",
        ),
    ],
)
def test_what_a_quota_does_not_leave_is_named(
    quickstart: Callable[..., Case], cluster: KubernetesServer, hard: dict[str, str], used: dict[str, str], found: str
) -> None:
    quota(cluster, hard, used)
    (only,) = look(quickstart(), "quotas")
    assert only.tried == "resource quota team-quota in team"
    assert (only.state, only.found.startswith(found)) == ("failed" if found else "ok", True)
    assert not found or "cluster.steps" in only.advice


def test_the_step_that_asks_for_most_is_named(quickstart: Callable[..., Case], cluster: KubernetesServer) -> None:
    quota(cluster, {"requests.nvidia.com/gpu": "1", "cpu": "4"}, {})
    large = quickstart("cluster.steps={training: {accelerators: 2, shared_memory: 1Gi}, rollout: {cpu: 5}}")
    found = the_failure(large, "quotas").found
    assert "1 of 1 requests.nvidia.com/gpu, and training asks for 2" in found
    assert "4 of 4 cpu, and rollout asks for 5" in found


@given(hard=st.integers(0, 4000), used=st.integers(0, 4000), asked=st.integers(1, 4000))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_quota_leaves_what_is_not_used(
    quickstart: Callable[..., Case], cluster: KubernetesServer, hard: int, used: int, asked: int
) -> None:
    quota(cluster, {"requests.cpu": f"{hard}m"}, {"requests.cpu": f"{used}m"})
    steps = ("preparation", "rollout", "judging", "logprobs", "training", "evaluation", "reporting", "closing")
    (only,) = look(quickstart(*(f"cluster.steps.{step}.cpu={asked}m" for step in steps)), "quotas")
    assert (only.state == "ok") is (used + asked <= hard)


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        ({}, True),
        ({"scopes": ["Terminating"]}, True),
        ({"scopes": ["NotBestEffort"]}, True),
        ({"scopes": ["NotTerminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        ({"scope_selector": client.V1ScopeSelector(match_expressions=[])}, False),
    ],
)
def test_quotas_of_other_pods_do_not_count(
    quickstart: Callable[..., Case], cluster: KubernetesServer, spec: dict[str, Any], counts: bool
) -> None:
    """Steps have a deadline, and ask for something."""
    quota(cluster, {"pods": "0"}, {}, **spec)
    assert states(look(quickstart(), "quotas")) == ["failed" if counts else "not needed"]


# --- what every container has to say ---------------------------------------------------------------------------------

LARGE = {"limits.cpu": "100", "requests.memory": "100Gi"}


def admitted(case: Case) -> list[Finding]:
    """What there is to say besides that enough is left."""
    found = look(case, "quotas")
    assert found[0].found == "leaves enough for each step"
    return found[1:]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "limits.cpu, requests.memory"),
        ({"default": {"cpu": "1"}}, "requests.memory"),
        ({"default_request": {"cpu": "1", "memory": "1Gi"}}, "limits.cpu"),
        ({"default": {"cpu": "1"}, "default_request": {"memory": "1Gi"}}, ""),
        ({"default": {"cpu": "1", "memory": "1Gi"}}, ""),
        ({"default": {"cpu": "1", "memory": "1Gi"}, "kind": "Pod"}, "limits.cpu, requests.memory"),
    ],
)
def test_defaults_of_the_namespace_have_to_cover_what_is_counted(
    quickstart: Callable[..., Case], cluster: KubernetesServer, given: dict[str, Any], missing: str
) -> None:
    """As Kubeflow installs Argo, its containers say nothing."""
    quota(cluster, LARGE, {})
    defaults(cluster, **given)
    found = admitted(quickstart())
    assert not found
    cluster.controller = {"executor": "imagePullPolicy: IfNotPresent"}
    found = admitted(quickstart())
    assert states(found) == (["failed"] if missing else [])
    if missing:
        assert f"counts {missing}, which the containers that Argo adds do not set" in found[0].found
        assert "make a LimitRange in team" in found[0].advice


def test_where_the_controller_is_not_to_be_seen_nobody_can_tell(
    quickstart: Callable[..., Case], cluster: KubernetesServer
) -> None:
    quota(cluster, LARGE, {})
    cluster.forbidden.add(".*/configmaps/workflow-controller-configmap")
    (found,) = admitted(quickstart())
    assert found.state == "not known"
    assert "may not set: not allowed to get config map workflow-controller-configmap" in found.found


def test_all_pods_of_a_trainjob_are_counted(case: Callable[..., Case], cluster: KubernetesServer) -> None:
    """Sixteen accelerators, one pod of a shard beside none."""
    quota(cluster, {"requests.nvidia.com/gpu": "15"}, {})
    found = the_failure(case("cluster.profile=many-nodes", "training.launcher=trainjob"), "quotas")
    assert found.found.startswith("leaves 15 of 15 requests.nvidia.com/gpu, and training asks for 16")


@pytest.mark.parametrize("kind", ["resourcequotas", "limitranges"])
def test_what_may_not_be_listed_is_not_tried(
    quickstart: Callable[..., Case], cluster: KubernetesServer, kind: str
) -> None:
    quota(cluster, LARGE, {})
    cluster.forbidden.add(f".*/{kind}")
    assert states(look(quickstart(), "quotas"))[-1] == "not tried"
