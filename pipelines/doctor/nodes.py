"""The nodes: is there one on which each step's pods fit?"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kubernetes import client
from kubernetes.utils import parse_quantity

from ..cluster import StepName, StepResources
from ..plan import steps_of
from .case import Case
from .finding import Finding

_TYPES = ("nvidia.com/gpu.product", "node.kubernetes.io/instance-type")
_ASKED = {"cpu", "memory", "accelerators", "accelerator_type", "node_selector", "tolerations"}
_CORDONED = client.V1Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
_AUTOSCALER = "no trouble where an autoscaler adds such nodes on demand"


class Misfit(NamedTuple):
    """Why a node does not take a pod, and what would mend it."""

    why: str
    advice: str


def nodes(case: Case) -> Iterator[Finding]:
    """Nodes that would take each step's pods, were they empty."""
    groups: dict[str, list[StepName]] = {}
    for step in steps_of(case.needs):
        asked = case.needs.cluster.resources(step).model_dump(mode="json", include=_ASKED)
        groups.setdefault(json.dumps(asked, sort_keys=True), []).append(step)
    listed = case.cluster.read("nodes of the cluster", case.cluster.core.list_node)
    there = listed.items if listed else []
    for steps in groups.values():
        yield _examined(case.needs.cluster.resources(steps[0]), steps, there)


def _examined(resources: StepResources, steps: Sequence[StepName], there: Sequence[Any]) -> Finding:
    tried = f"{', '.join(steps)}: {_described(resources)}"
    misfits = [misfit(node, resources) for node in there]
    fitting = [node for node, why in zip(there, misfits, strict=True) if why is None]
    if fitting:
        types = Counter(_type(node) for node in fitting)
        named = ", ".join(f"{name} ({count})" for name, count in types.most_common())
        return Finding("nodes", "ok", tried, f"{len(fitting)} of {len(there)} nodes fit: {named}")
    reasons = Counter(why for why in misfits if why)
    said = ", ".join(f"{count} {reason.why}" for reason, count in reasons.most_common()) or "there are no nodes"
    advice = "; ".join(dict.fromkeys(reason.advice for reason, _ in reasons.most_common()))
    mended = (advice or "add nodes").replace("<step>", steps[0])
    return Finding("nodes", "failed", tried, f"none of {len(there)} nodes fits: {said}", f"{mended}; {_AUTOSCALER}")


def _described(resources: StepResources) -> str:
    asked = [f"{resources.cpu:g} CPU", resources.memory]
    if resources.accelerators:
        asked.append(f"{resources.accelerators} {resources.accelerator_type}")
    return ", ".join([*asked, *(f"{key}={value}" for key, value in resources.node_selector.items())])


def misfit(node: Any, resources: StepResources) -> Misfit | None:
    """Why the node would not take a pod that asks for this; None if it would."""
    if node.spec.unschedulable and not _tolerated(_CORDONED, resources):
        return Misfit("cordoned", "kubectl uncordon it when it is well again")
    if not any(condition.type == "Ready" and condition.status == "True" for condition in node.status.conditions or []):
        return Misfit("not ready", "see kubectl describe node")
    labels = node.metadata.labels or {}
    for key, value in resources.node_selector.items():
        if labels.get(key) != value:
            return Misfit(
                f"without the label {key}={value}", "label a node, or change cluster.steps.<step>.node_selector"
            )
    return _short_of(node.status.allocatable or {}, resources) or _repelled(node, resources)


def _short_of(allocatable: Mapping[str, str], resources: StepResources) -> Misfit | None:
    name, wanted = resources.accelerator_type, resources.accelerators
    count = int(parse_quantity(allocatable.get(name, "0")))
    if wanted and not count:
        others = sorted(
            key for key, value in allocatable.items() if "/" in key and value != "0" and "hugepages" not in key
        )
        instead = f"; they have {', '.join(others)}" if others else ""
        return Misfit(
            f"without {name}", f"install its device plugin, or set cluster.steps.<step>.accelerator_type{instead}"
        )
    if count < wanted:
        return Misfit(f"with only {count} {name}", "lower cluster.steps.<step>.accelerators")
    for key, asked in (("cpu", f"{resources.cpu:g}"), ("memory", resources.memory)):
        if parse_quantity(allocatable.get(key, "0")) < parse_quantity(asked):
            return Misfit(f"with only {allocatable.get(key, 0)} {key}", f"lower cluster.steps.<step>.{key}")
    return None


def _repelled(node: Any, resources: StepResources) -> Misfit | None:
    """The first taint that keeps the pod away."""
    for taint in node.spec.taints or []:
        if taint.effect != "PreferNoSchedule" and not _tolerated(taint, resources):
            text = f"{taint.key}={taint.value or ''}:{taint.effect}"
            return Misfit(f"with the taint {text}", f"add {text} to cluster.steps.<step>.tolerations")
    return None


def _tolerated(taint: Any, resources: StepResources) -> bool:
    """Whether a toleration matches the taint, as Kubernetes does it: an empty key or effect is any."""
    return any(
        each.key in ("", taint.key)
        and each.effect in ("", taint.effect)
        and (each.operator == "Exists" or each.value == (taint.value or ""))
        for each in resources.tolerations
    )


def _type(node: Any) -> str:
    labels = node.metadata.labels or {}
    return next((labels[key] for key in _TYPES if key in labels), "unnamed type")
