"""Nodes: a pod that fits keeps fitting on more, or if it asks for less."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.pipelines.cluster import StepResources, Toleration
from nashflow.pipelines.doctor.nodes import misfit
from tests.pipelines.kubernetes_server import node

TAINT = "nvidia.com/gpu=:NoSchedule"
AMOUNTS = st.integers(0, 64)


@settings(max_examples=100)
@given(cpu=AMOUNTS, memory=AMOUNTS, gpus=AMOUNTS, asked=AMOUNTS, tainted=st.booleans(), tolerated=st.booleans())
def test_whether_a_pod_fits(cpu: int, memory: int, gpus: int, asked: int, tainted: bool, tolerated: bool) -> None:
    tolerations = (Toleration(key="nvidia.com/gpu"),) if tolerated else ()
    resources = StepResources(cpu=8, memory="32Gi", accelerators=asked, tolerations=tolerations)
    there = node("a", gpus, cpu=str(cpu), memory=f"{memory}Gi", taints=[TAINT] if tainted else [])
    expected = cpu >= 8 and memory >= 32 and gpus >= asked and (tolerated or not tainted)
    assert (misfit(there, resources) is None) is expected


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
    assert (misfit(node("a", taints=[taint]), resources) is None) is fits


@pytest.mark.parametrize(
    ("tolerations", "fits"),
    [((), False), ((Toleration(key="nvidia.com/gpu"),), False), ((Toleration(key="", effect=""),), True)],
)
def test_what_tolerates_every_taint_goes_to_cordoned_nodes_too(tolerations: tuple[Toleration, ...], fits: bool) -> None:
    cordoned = node("a", cordoned=True, taints=["node.kubernetes.io/unschedulable=:NoSchedule"])
    assert (misfit(cordoned, StepResources(tolerations=tolerations)) is None) is fits
