"""What a namespace of the cluster holds besides pods, and what its one node has room for."""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

_UNITS = {"": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_UNITS |= {"Ti": 2**40}


def amount(quantity: str) -> Decimal:
    """A quantity such as 250m or 2Gi as a number."""
    found = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", quantity)
    assert found, quantity
    return Decimal(found[1]) * _UNITS[found[2]]


@dataclass
class Trouble:
    """What befalls the pods of one node of the workflow."""

    match: str
    """Pattern that is looked for in the node's name, such as training-001."""
    kind: str
    """oom: the step is killed for its memory; evicted: the pod ends for the node's sake; quota: there is no pod."""
    times: int = 1
    memory: str = "1Mi"
    """Of oom: how much the step may use."""


@dataclass
class Cluster:
    """Change it, and pods that wait for what has changed go on."""

    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    config_maps: dict[str, dict[str, str]] = field(default_factory=dict)
    claims: dict[str, Path] = field(default_factory=dict)
    """Folders, by the name of the PersistentVolumeClaim."""
    missing_images: set[str] = field(default_factory=set)
    """Names of images that no registry has; it has all others."""
    room: dict[str, str] = field(default_factory=lambda: {"cpu": "8", "memory": "64Gi"})
    """What the node has for pods."""
    troubles: list[Trouble] = field(default_factory=list)

    def befalls(self, node: str, *kinds: str) -> Trouble | None:
        """The trouble that is due for a node of the workflow, once less from now on."""
        for trouble in self.troubles:
            if trouble.times and trouble.kind in kinds and re.search(trouble.match, node):
                trouble.times -= 1
                return trouble
        return None

    def lacks(self, spec: dict[str, Any], used: list[dict[str, Any]]) -> str:
        """Why the scheduler finds no node for a pod, beside the pods that are there; empty if there is one."""
        for volume in spec.get("volumes", ()):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and claim not in self.claims:
                return f'0/1 nodes are available: persistentvolumeclaim "{claim}" not found. not found'
        asked = requests(spec)
        taken = [requests(other) for other in used]
        for name, quantity in asked.items():
            room = amount(self.room.get(name, "0"))
            if quantity + sum(other.get(name, Decimal(0)) for other in taken) > room:
                why = "No preemption victims found for incoming pod" if quantity <= room else _HOPELESS
                return f"0/1 nodes are available: 1 Insufficient {name}. {_PREEMPTION}{why}."
        return ""

    def unset(self, container: dict[str, Any], namespace: str) -> str:
        """Why a container's environment cannot be made; empty if it can."""
        for variable in container.get("env", ()):
            origin = variable.get("valueFrom", {})
            for kind, held, word in (
                ("secretKeyRef", self.secrets, "Secret"),
                ("configMapKeyRef", self.config_maps, "ConfigMap"),
            ):
                if (reference := origin.get(kind)) and not reference.get("optional"):
                    if reference["name"] not in held:
                        return f'{word.lower()} "{reference["name"]}" not found'
                    if reference["key"] not in held[reference["name"]]:
                        return f"couldn't find key {reference['key']} in {word} {namespace}/{reference['name']}"
        return ""

    def environment(self, container: dict[str, Any], fields: dict[str, str]) -> dict[str, str]:
        """A container's environment; `fields` are those of the pod that it may take values from."""
        made: dict[str, str] = {}
        for variable in container.get("env", ()):
            origin = variable.get("valueFrom", {})
            if "fieldRef" in origin:
                made[variable["name"]] = fields.get(origin["fieldRef"]["fieldPath"], "")
            elif "secretKeyRef" in origin or "configMapKeyRef" in origin:
                held = self.secrets if "secretKeyRef" in origin else self.config_maps
                reference = origin.get("secretKeyRef") or origin["configMapKeyRef"]
                if (value := held.get(reference["name"], {}).get(reference["key"])) is not None:
                    made[variable["name"]] = value
            else:
                made[variable["name"]] = variable.get("value", "")
        return made


_PREEMPTION = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 "
_HOPELESS = "Preemption is not helpful for scheduling"


def requests(spec: dict[str, Any]) -> dict[str, Decimal]:
    """What a pod asks for in all: its containers' requests, or limits where those alone are given."""
    total: dict[str, Decimal] = {}
    for container in spec["containers"]:
        resources = container.get("resources", {})
        for name, quantity in {**resources.get("limits", {}), **resources.get("requests", {})}.items():
            total[name] = total.get(name, Decimal(0)) + amount(quantity)
    return total
