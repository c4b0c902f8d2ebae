"""Advice on Kubernetes' complaints: the setting of the recipe to change."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from .pods import Json, main_container


@dataclass(frozen=True)
class Case:
    """The subject of a complaint."""

    step: str
    """The step."""
    image: str
    """The image's name in the recipe's `cluster.images`; empty where it is not known."""
    namespace: str
    kubeflows: bool
    """Whether it is about a part of KFP or Argo, and none of the step's."""
    pod: Json | None = None
    """None where there is no pod, as under an exhausted quota."""

    def now(self, resource: str) -> str:
        """What the step's container may have of a resource, to stand behind a setting's name; empty if not known."""
        limits = main_container(self.pod).get("resources", {}).get("limits", {}) if self.pod else {}
        return f" (now {limits[resource]})" if resource in limits else ""


class Advice(NamedTuple):
    """The advice."""

    text: str
    """Empty where nothing is known to help."""
    in_recipe: bool
    """Whether it is a matter of the recipe alone, so that the run has to be submitted again."""


NO_ADVICE = Advice("", False)
ASK_THE_ADMINISTRATOR = Advice("it is a part of Kubeflow itself: ask its administrator", False)


class _Row(NamedTuple):
    pattern: str
    """Of the complaint."""
    text: str
    in_recipe: bool = False


_IMAGE = "ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull|ImageInspectError"
_BY_ITSELF = "in the namespace {namespace}, and the step starts by itself, or correct"
_TAINT = r"untolerated taint \{node\.kubernetes\.io/"
"""Kubernetes sets these by itself on a node that is not well, and takes them away when it is."""
_OF_ANYBODY = (
    _Row("exceeded quota", "free some of the quota of the namespace {namespace}, or ask for more"),
    _Row("failed quota: .* must specify", "give the namespace {namespace} a LimitRange with defaults"),
    _Row("violates PodSecurity", "the namespace {namespace} forbids such pods: ask its administrator"),
    _Row(
        'serviceaccount "[^"]*" not found',
        "make it in the namespace {namespace}, or name another one in cluster.service_account",
        True,
    ),
    _Row(f"{_TAINT}disk-pressure", "free disk space on the nodes, or wait"),
    _Row(f"{_TAINT}memory-pressure", "free memory on the nodes, or wait"),
    _Row(f"{_TAINT}(?!disk-|memory-)", "wait until the nodes are ready again"),
    _Row(
        'forbidden: User "system:serviceaccount:',
        "give this service account the right, as the chart's role for steps does, or name another one in "
        "cluster.service_account",
        True,
    ),
)
_OF_KUBEFLOW = (_Row("Insufficient|Too many pods", "free room on the nodes, or add one"),)
_OF_STEPS = (
    _Row(_IMAGE, "set cluster.images.{image} to an image that the nodes can pull", True),
    _Row(
        rf"({_IMAGE}).*\b(401|403|[Uu]nauthorized|denied|authori[sz]ation|authentication)\b",
        "name a Secret with keys of its registry in cluster.image_pull_secrets",
        True,
    ),
    _Row(
        "StartError|RunContainerError|ContainerCannotRun",
        "set cluster.images.{image} to an image of NashFlow, built for these nodes",
        True,
    ),
    _Row('secret "[^"]*" not found', f"make it {_BY_ITSELF} cluster.secrets"),
    _Row("find key .* in Secret", f"put the key into it {_BY_ITSELF} cluster.secrets"),
    _Row('configmap "[^"]*" not found', f"make it {_BY_ITSELF} cluster.config_maps"),
    _Row("find key .* in ConfigMap", f"put the key into it {_BY_ITSELF} cluster.config_maps"),
    _Row('persistentvolumeclaim "[^"]*" not found', f"make it {_BY_ITSELF} cluster.models.claim"),
    _Row("unbound immediate PersistentVolumeClaims", "give the claim of cluster.models.claim a volume"),
    _Row("Multi-Attach", "give the claim of cluster.models.claim the access mode ReadWriteMany or ReadOnlyMany"),
    _Row("Insufficient cpu", "lower cluster.steps.{step}.cpu{cpu}, or add a larger node", True),
    _Row("Insufficient memory", "lower cluster.steps.{step}.memory{memory}, or add a larger node", True),
    _Row(
        r"Insufficient (?!cpu|memory|ephemeral-storage)\S",
        "lower cluster.steps.{step}.accelerators, correct its accelerator_type, or add a node with such",
        True,
    ),
    # Where there is a node for the step, but no room on it, the taints of other nodes do not matter.
    _Row(
        rf"^(?!.*(Insufficient|{_TAINT})).*untolerated taint",
        "name the taint in cluster.steps.{step}.tolerations",
        True,
    ),
    _Row("match Pod's node affinity", "set cluster.steps.{step}.node_selector to labels that a node has", True),
    _Row("OOMKilled|low on resource: memory", "raise cluster.steps.{step}.memory{memory}", True),
    _Row('EmptyDir volume "shm"', "raise cluster.steps.{step}.shared_memory", True),
    _Row("ephemeral-storage", "free disk space on the nodes"),
    _Row("DeadlineExceeded", "raise cluster.steps.{step}.timeout_seconds{deadline}", True),
)


def advice_on(said: str, case: Case) -> Advice:
    """Advice on a complaint: one for each reason that it names; empty if none is known."""
    rows = [*_OF_ANYBODY, *(_OF_KUBEFLOW if case.kubeflows else _OF_STEPS)]
    found = [row for row in rows if re.search(row.pattern, said)]
    deadline = case.pod["spec"].get("activeDeadlineSeconds") if case.pod else None
    values = {
        "step": case.step,
        "image": case.image or "steps",
        "namespace": case.namespace,
        "cpu": case.now("cpu"),
        "memory": case.now("memory"),
        "deadline": f" (now {deadline})" if deadline else "",
    }
    return Advice(
        "; ".join(row.text.format(**values) for row in found), bool(found) and all(row.in_recipe for row in found)
    )
