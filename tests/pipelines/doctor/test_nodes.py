"""Nodes: which of them take a step's pod, beside what runs there, and how many at once."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.doctor.amounts import Amounts, amounts
from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.finding import Finding
from nashflow.pipelines.doctor.nodes import misfit
from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.resources import StepResources, Toleration
from tests.pipelines.cluster.server import KfpServer
from tests.pipelines.doctor.cases import look, states
from tests.pipelines.kubernetes_server import KubernetesServer, node, pod

Make = Callable[..., Case]

TAINT = "nvidia.com/gpu=:NoSchedule"
AMOUNTS = st.integers(0, 64)


@settings(max_examples=100)
@given(
    cpu=AMOUNTS,
    memory=AMOUNTS,
    gpus=AMOUNTS,
    taken=AMOUNTS,
    asked=AMOUNTS,
    tainted=st.booleans(),
    tolerated=st.booleans(),
)
def test_whether_a_pod_fits(
    cpu: int, memory: int, gpus: int, taken: int, asked: int, tainted: bool, tolerated: bool
) -> None:
    tolerations = (Toleration(key="nvidia.com/gpu"),) if tolerated else ()
    resources = StepResources(cpu=8, memory="32Gi", accelerators=asked, tolerations=tolerations)
    there = node("a", gpus, cpu=str(cpu), memory=f"{memory}Gi", taints=[TAINT] if tainted else [])
    kept = amounts({"cpu": str(taken), "memory": f"{taken}Gi", "nvidia.com/gpu": str(min(taken, gpus))})
    room = cpu >= 8 + taken and memory >= 32 + taken and (not asked or gpus >= asked + taken)
    assert (misfit(there, resources, kept) is None) is (room and (tolerated or not tainted))


@pytest.mark.parametrize(
    ("toleration", "taint", "fits"),
    [
        (Toleration(key="a"), "a=b:NoSchedule", True),
        (Toleration(key="a", operator="Equal", value="b"), "a=b:NoSchedule", True),
        (Toleration(key="a", operator="Equal", value="c"), "a=b:NoSchedule", False),
        (Toleration(key="a"), "a=b:NoExecute", False),
        (Toleration(key="a", effect="NoExecute"), "a=b:NoExecute", True),
        (Toleration(key="b"), "a=b:NoSchedule", False),
        (Toleration(key="b"), "a=b:PreferNoSchedule", True),
        (Toleration(key="a", effect=""), "a=b:NoSchedule", True),
        (Toleration(key="a", effect=""), "a=b:NoExecute", True),
        (Toleration(key="b", effect=""), "a=b:NoExecute", False),
        (Toleration(key=""), "a=b:NoSchedule", True),
        (Toleration(key=""), "a=b:NoExecute", False),
        (Toleration(key="", effect=""), "a=b:NoExecute", True),
    ],
)
def test_taints_are_matched_as_kubernetes_does(toleration: Toleration, taint: str, fits: bool) -> None:
    resources = StepResources(tolerations=(toleration,))
    assert (misfit(node("a", taints=[taint]), resources, Amounts()) is None) is fits


@pytest.mark.parametrize(
    ("tolerations", "fits"),
    [((), False), ((Toleration(key="nvidia.com/gpu"),), False), ((Toleration(key="", effect=""),), True)],
)
def test_what_tolerates_every_taint_goes_to_cordoned_nodes_too(tolerations: tuple[Toleration, ...], fits: bool) -> None:
    cordoned = node("a", cordoned=True, taints=["node.kubernetes.io/unschedulable=:NoSchedule"])
    assert (misfit(cordoned, StepResources(tolerations=tolerations), Amounts()) is None) is fits


# --- a laptop's cluster ----------------------------------------------------------------------------------------------


@pytest.fixture
def laptop(cluster: KubernetesServer, kfp: KfpServer) -> KubernetesServer:
    """One node with two cores and 8 GiB, of which Kubernetes and Kubeflow keep a half."""
    cluster.nodes = [node("laptop", 0, cpu="2", memory="8Gi")]
    cluster.pods = [
        pod("laptop", cpu="700m", memory="1Gi"),
        pod("laptop", cpu="300m", memory="1Gi"),
        pod("laptop", "Never", "Succeeded", cpu="2", memory="8Gi"),
        pod("", "Never", "Pending", cpu="2"),
    ]
    return cluster


def quickstart(kfp: KfpServer, *overrides: str) -> list[Finding]:
    return look(Case(load_recipe("quickstart", overrides), Access(kfp.url, "team")), "nodes")


def test_the_quickstart_fits_beside_kubeflow(laptop: KubernetesServer, kfp: KfpServer) -> None:
    """Two whole cores a pod would not."""
    (found,) = quickstart(kfp)
    assert (found.state, found.found) == ("ok", "1 of 1 nodes fit: unnamed type (1)")
    assert found.tried.endswith(": 0.25 CPU, 2Gi")
    (closing, refused) = sorted(quickstart(kfp, "cluster.profile=cpu"), key=lambda each: each.state == "failed")
    assert (closing.state, refused.state) == ("ok", "failed")
    assert refused.found == "none of 1 nodes fits: 1 with only 1 of 2 cpu free"
    assert "lower cluster.steps.rollout.cpu" in refused.advice
    assert "autoscaler" in refused.advice


@pytest.mark.parametrize(("cpu", "said"), [("500m", ""), ("501m", "one pod at a time"), ("1", "one pod at a time")])
def test_where_pods_have_to_wait_for_one_another_it_is_said(
    laptop: KubernetesServer, kfp: KfpServer, cpu: str, said: str
) -> None:
    steps = ("preparation", "rollout", "judging", "logprobs", "training", "evaluation", "reporting", "closing")
    (found,) = quickstart(kfp, *(f"cluster.steps.{step}.cpu={cpu}" for step in steps))
    assert found.state == "ok"
    assert said in found.found
    assert ("autoscaler" in found.found) == bool(said)


def test_pods_that_end_by_themselves_only_have_to_be_waited_for(laptop: KubernetesServer, kfp: KfpServer) -> None:
    laptop.pods.append(pod("laptop", "Never", cpu="1", memory="1Gi"))
    (found,) = quickstart(kfp)
    assert found.state == "ok"
    assert "taken by pods that end by themselves" in found.found
    laptop.pods.append(pod("laptop", cpu="900m", memory="1Gi"))
    (found,) = quickstart(kfp)
    assert (found.state, found.found) == ("failed", "none of 1 nodes fits: 1 with only 0.1 of 2 cpu free")


def test_memory_that_is_taken_counts(laptop: KubernetesServer, kfp: KfpServer) -> None:
    laptop.pods.append(pod("laptop", memory="5Gi"))
    (found,) = quickstart(kfp)
    assert found.found == "none of 1 nodes fits: 1 with only 1Gi of 8Gi memory free"
    assert "lower cluster.steps.preparation.memory" in found.advice


def test_where_pods_may_not_be_listed_nodes_count_as_empty(laptop: KubernetesServer, kfp: KfpServer) -> None:
    laptop.forbidden.add("/api/v1/pods")
    unknown, *rest = quickstart(kfp, "cluster.profile=cpu")
    assert unknown.state == "not known"
    assert "not allowed to get pods of all namespaces" in unknown.found
    assert "nodes count as empty" in unknown.found
    assert {*states(rest)} == {"ok"}


def test_accelerators_that_servers_keep_are_not_free(case: Make, cluster: KubernetesServer) -> None:
    asked: dict[str, Any] = {"nvidia.com/gpu": "1"}
    cluster.pods = [pod("a", **asked), pod("b", "Never", **asked)]
    (training,) = (each for each in look(case(), "nodes") if each.tried.startswith("training"))
    now, and_then = "1 of 3 nodes fit: H100 (1)", "now it is taken by pods that end by themselves"
    assert training.found == f"{now}; {and_then}, unless an autoscaler adds a node"
