"""Amounts of CPU, memory and devices: what nodes have, what pods and steps ask for, what quotas count."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from kubernetes.utils import parse_quantity

from ..resources import StepResources

Amounts = Counter[str]
"""By resource, in thousandths of what Kubernetes counts it in: of a core, of a byte, of a device."""


def amounts(quantities: Mapping[str, str] | None) -> Amounts:
    """Kubernetes' quantities, such as {"cpu": "250m", "memory": "2Gi"}."""
    return Counter({name: int(parse_quantity(text) * 1000) for name, text in (quantities or {}).items()})


def amounts_of_step(resources: StepResources) -> Amounts:
    """Resources that a step's pod requests."""
    cpu, accelerators = f"{resources.cpu:.8g}", {resources.accelerator_type: str(resources.accelerators)}
    return amounts({"cpu": cpu, "memory": resources.memory} | (accelerators if resources.accelerators else {}))


def amounts_of_pod(pod: Any) -> Amounts:
    """Resources that a pod requests.

    As Kubernetes' scheduler has it: what its containers ask for together, or what one that runs before them asks for,
    if that is more. Sidecars, which start among the latter and stay, count with all that come after them.
    """
    sidecars, first = Amounts(), Amounts()
    for container in pod.spec.init_containers or ():
        asked = _requests(container)
        first |= sidecars + asked
        if container.restart_policy == "Always":
            sidecars += asked
    return (sum(map(_requests, pod.spec.containers), sidecars) | first) + amounts(pod.spec.overhead)


def _requests(container: Any) -> Amounts:
    return amounts(container.resources.requests if container.resources else None)


def shown(name: str, amount: int) -> str:
    """An amount as people read it, rounded down."""
    if name.endswith("memory"):
        return f"{math.floor(amount / 10 / 2**30) / 100:g}Gi"
    return f"{amount / 1000:g}"
