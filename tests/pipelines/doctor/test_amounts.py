"""What a pod keeps of its node, as Kubernetes adds it up."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client

from nashflow.pipelines.doctor.amounts import amounts, amounts_of_pod, amounts_of_step, shown
from nashflow.pipelines.resources import StepResources


def container(cpu: int, sidecar: bool = False) -> Any:
    requests = client.V1ResourceRequirements(requests={"cpu": f"{cpu}m"})
    return client.V1Container(name="x", resources=requests, restart_policy="Always" if sidecar else None)


def pod(containers: list[Any], first: list[Any], overhead: int = 0) -> Any:
    spec = client.V1PodSpec(containers=containers, init_containers=first or None)
    spec.overhead = {"cpu": f"{overhead}m"} if overhead else None
    return client.V1Pod(spec=spec)


@pytest.mark.parametrize(
    ("containers", "first", "overhead", "cpu"),
    [
        ([250], [], 0, 250),
        ([250, 100], [], 0, 350),
        ([250], [(400, False)], 0, 400),
        ([250], [(100, False), (200, False)], 0, 250),
        ([250], [(100, True)], 0, 350),
        ([250], [(100, True), (200, False)], 0, 350),
        ([250], [(100, True), (300, False)], 0, 400),
        ([250], [(300, False), (100, True)], 0, 350),
        ([250], [(100, True), (300, True)], 0, 650),
        ([250], [], 50, 300),
    ],
)
def test_containers_count_together_and_those_before_them_one_by_one(
    containers: list[int], first: list[tuple[int, bool]], overhead: int, cpu: int
) -> None:
    there = pod([container(each) for each in containers], [container(*each) for each in first], overhead)
    assert amounts_of_pod(there)["cpu"] == cpu


@given(
    containers=st.lists(st.integers(1, 9), min_size=1),
    first=st.lists(st.tuples(st.integers(1, 9), st.booleans())),
    more=st.tuples(st.integers(1, 9), st.booleans()),
)
def test_another_container_never_makes_a_pod_smaller(
    containers: list[int], first: list[tuple[int, bool]], more: tuple[int, bool]
) -> None:
    def cpu(*before: tuple[int, bool]) -> int:
        return amounts_of_pod(pod([container(each) for each in containers], [container(*each) for each in before]))[
            "cpu"
        ]

    assert sum(containers) <= cpu(*first) <= cpu(*first, more)


@pytest.mark.parametrize(
    ("name", "quantity", "text"),
    [
        ("cpu", "250m", "0.25"),
        ("cpu", "2", "2"),
        ("memory", "2Gi", "2Gi"),
        ("memory", "2147483647", "1.99Gi"),
        ("limits.memory", "1Ti", "1024Gi"),
        ("nvidia.com/gpu", "8", "8"),
    ],
)
def test_amounts_are_shown_as_people_read_them_and_never_rounded_up(name: str, quantity: str, text: str) -> None:
    assert shown(name, amounts({name: quantity})[name]) == text


def test_a_step_keeps_its_request() -> None:
    resources = StepResources(cpu=0.25, cpu_limit=2, memory="2Gi", accelerators=1)
    assert amounts_of_step(resources) == amounts({"cpu": "250m", "memory": "2Gi", "nvidia.com/gpu": "1"})


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("training", {"cpu": "250m", "memory": "2Gi"}),
        ("container-driver", {"cpu": "100m", "memory": "64Mi"}),
    ],
)
def test_pods_of_a_real_kubeflow(name: str, kept: dict[str, str]) -> None:
    """KFP's launcher runs before the step in its pod and asks for less."""
    if "NASHFLOW_KUBEFLOW" not in os.environ:
        pytest.skip("NASHFLOW_KUBEFLOW names no folder of recorded answers")
    recorded = json.loads(Path(os.environ["NASHFLOW_KUBEFLOW"], f"pod-{name}.json").read_text())
    there = client.ApiClient().deserialize(SimpleNamespace(data=json.dumps(recorded)), "V1Pod")
    assert amounts_of_pod(there) == amounts(kept)
