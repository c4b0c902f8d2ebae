"""The nodes: is there room on one of them for each step's pods, beside the pods that it has?"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kubernetes import client

from ..resources import StepResources
from ..steps import STEPS, steps_in
from .amounts import Amounts, amounts, amounts_of_pod, amounts_of_step, shown
from .case import Case
from .cluster import Cluster, NotTried
from .finding import Finding

_TYPES = ("nvidia.com/gpu.product", "node.kubernetes.io/instance-type")
_ASKED = {"cpu", "memory", "accelerators", "accelerator_type", "node_selector", "tolerations"}
_CORDONED = client.V1Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
_AUTOSCALER = "harmless if an autoscaler adds such nodes on demand"
_RUNNING = "status.phase!=Succeeded,status.phase!=Failed"


class Misfit(NamedTuple):
    """Why a node does not take a pod, and what would mend it."""

    why: str
    advice: str


@dataclass(frozen=True)
class Taken:
    """Resources of a node that its pods request."""

    lasting: Amounts = field(default_factory=Amounts)
    """Servers, which stay."""
    passing: Amounts = field(default_factory=Amounts)
    """Pods that end by themselves, such as those of other runs."""


def nodes(case: Case) -> Iterator[Finding]:
    """Nodes with room for each step's pods."""
    groups: dict[str, list[str]] = {}
    for step in steps_in(case.needs):
        each = case.needs.cluster.resources(step).model_dump(mode="json", include=_ASKED)
        groups.setdefault(json.dumps([STEPS[step].together(case.needs), each], sort_keys=True), []).append(step)
    listed = case.cluster.read("nodes of the cluster", case.cluster.core.list_node)
    taken: Mapping[str, Taken] = defaultdict(Taken)
    try:
        taken = _taken(case.cluster)
    except NotTried as reason:
        found = f"{reason}; free resources are unknown, so nodes count as empty"
        yield Finding("nodes", "not known", "pods of all namespaces", found, reason.advice)
    for steps in groups.values():
        asked, pods = case.needs.cluster.resources(steps[0]), STEPS[steps[0]].together(case.needs)
        yield _examined(asked, pods, steps, listed.items if listed else [], taken)


def _taken(cluster: Cluster) -> Mapping[str, Taken]:
    """Resources that the pods of each node request, by the node's name.

    Raises:
        NotTried: who asks may not list the pods of all namespaces.
    """
    found: defaultdict[str, Taken] = defaultdict(Taken)
    everywhere = cluster.core.list_pod_for_all_namespaces
    listed = cluster.read("pods of all namespaces", everywhere, field_selector=_RUNNING)
    for pod in listed.items if listed else ():
        node = found[pod.spec.node_name or ""]
        (node.lasting if pod.spec.restart_policy == "Always" else node.passing).update(amounts_of_pod(pod))
    return found


def _examined(
    resources: StepResources, pods: int, steps: Sequence[str], there: Sequence[Any], taken: Mapping[str, Taken]
) -> Finding:
    """Of steps whose tasks take so many pods at once."""
    tried = f"{', '.join(steps)}: {f'{pods} pods, each ' if pods > 1 else ''}{_described(resources)}"
    later = {node.metadata.name: misfit(node, resources, taken[node.metadata.name].lasting) for node in there}
    fitting = [node for node in there if later[node.metadata.name] is None]
    if fitting:
        types = Counter(_type(node) for node in fitting)
        named = ", ".join(f"{name} ({count})" for name, count in types.most_common())
        found = f"{len(fitting)} of {len(there)} nodes fit: {named}"
        places = sum(_places(node, resources, taken[node.metadata.name].lasting) for node in fitting)
        if places < pods:
            lower = f"add nodes, or set {steps[0]}.launcher.nodes to at most {places}; {_AUTOSCALER}"
            return Finding("nodes", "failed", tried, f"{found}; they take {places} of the {pods} pods", lower)
        return Finding("nodes", "ok", tried, found + _at_once(fitting, resources, pods, taken))
    reasons = Counter(why for why in later.values() if why)
    said = ", ".join(f"{count} {reason.why}" for reason, count in reasons.most_common()) or "there are no nodes"
    advice = "; ".join(dict.fromkeys(reason.advice for reason, _ in reasons.most_common()))
    mended = (advice or "add nodes").replace("<step>", steps[0])
    return Finding("nodes", "failed", tried, f"none of {len(there)} nodes fits: {said}", f"{mended}; {_AUTOSCALER}")


def _at_once(fitting: Sequence[Any], resources: StepResources, pods: int, taken: Mapping[str, Taken]) -> str:
    """A remark if a task's pods do not fit at the moment, or those of one task alone ever do; empty otherwise."""
    nodes = [(node, taken[node.metadata.name]) for node in fitting]
    if sum(_places(node, resources, kept.lasting + kept.passing) for node, kept in nodes) < pods:
        return "; now it is taken by pods that end by themselves, unless an autoscaler adds a node"
    if sum(_places(node, resources, kept.lasting) for node, kept in nodes) == 1:
        return "; one pod at a time, so steps wait for one another, unless an autoscaler adds a node"
    return ""


def _places(node: Any, resources: StepResources, taken: Amounts) -> int:
    """How many such pods the node takes beside what is taken."""
    has = amounts(node.status.allocatable)
    return max(0, min((has[name] - taken[name]) // asked for name, asked in amounts_of_step(resources).items()))


def _described(resources: StepResources) -> str:
    asked = [f"{resources.cpu:g} CPU", resources.memory]
    if resources.accelerators:
        asked.append(f"{resources.accelerators} {resources.accelerator_type}")
    return ", ".join([*asked, *(f"{key}={value}" for key, value in resources.node_selector.items())])


def misfit(node: Any, resources: StepResources, taken: Amounts) -> Misfit | None:
    """Why the node, where so much is taken, has no place for a pod that asks for this; None if it has one."""
    if node.spec.unschedulable and not _tolerated(_CORDONED, resources):
        return Misfit("cordoned", "kubectl uncordon it when it works again")
    if not any(condition.type == "Ready" and condition.status == "True" for condition in node.status.conditions or []):
        return Misfit("not ready", "see kubectl describe node")
    labels = node.metadata.labels or {}
    for key, value in resources.node_selector.items():
        if labels.get(key) != value:
            return Misfit(
                f"without the label {key}={value}", "label a node, or change cluster.steps.<step>.node_selector"
            )
    return _short_of(amounts(node.status.allocatable), taken, resources) or _repelled(node, resources)


def _short_of(has: Amounts, taken: Amounts, resources: StepResources) -> Misfit | None:
    kind = resources.accelerator_type
    if resources.accelerators and not has[kind]:
        others = sorted(name for name, amount in has.items() if "/" in name and amount and "hugepages" not in name)
        instead = f"; they have {', '.join(others)}" if others else ""
        return Misfit(
            f"without {kind}", f"install its device plugin, or set cluster.steps.<step>.accelerator_type{instead}"
        )
    for name, wanted in amounts_of_step(resources).items():
        free = has[name] - taken[name]
        if free < wanted:
            some = f"of {shown(name, has[name])} {name} free" if taken[name] else name
            lower = f"lower cluster.steps.<step>.{'accelerators' if name == kind else name}"
            return Misfit(f"with only {shown(name, max(0, free))} {some}", lower)
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
