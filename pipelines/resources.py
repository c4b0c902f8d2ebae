"""What the pods of a step ask for, as recipes write it, and what that is by the kind of cluster."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from nashflow.components.core.settings import Settings

from .names import LabelKey, LabelKeyOrNone, LabelValue, ResourceName

_CORES = re.compile(r"[0-9]+(\.[0-9]+)?|[0-9]+m")
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)(Mi|Gi|Ti)?")
_BYTES = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def _cores(value: Any) -> float:
    """Cores as Kubernetes writes them: a number, or thousandths such as 250m."""
    text = str(value)
    if isinstance(value, bool) or not _CORES.fullmatch(text):
        raise ValueError(f"{value!r} is no amount of CPU: set cores, such as 2 or 0.5, or thousandths, such as 250m")
    return int(text[:-1]) / 1000 if text.endswith("m") else float(text)


def _amount(value: Any) -> Any:
    """An amount of memory; a bare number, which Kubernetes would read as bytes, is refused."""
    found = _AMOUNT.fullmatch(str(value))
    if isinstance(value, bool) or not found or not float(found[1]):
        raise ValueError(f"{value!r} is no amount of memory: set a number with Mi, Gi or Ti, such as 16Gi")
    if not found[2]:
        raise ValueError(f"{value} has no unit: set {value}Gi, or another of Mi, Gi, Ti")
    # KFP takes whole numbers alone.
    return f"{math.ceil(bytes_of(value) / _BYTES['Mi'])}Mi" if "." in value else value


def bytes_of(amount: str) -> float:
    """Bytes of an amount of memory; 0 of none."""
    return float(amount[:-2]) * _BYTES[amount[-2:]] if amount else 0.0


Cores = Annotated[
    float, Field(ge=0.001, le=10_000, multiple_of=0.001), BeforeValidator(_cores, json_schema_input_type=str | float)
]
Memory = Annotated[str, BeforeValidator(_amount)]
MemoryOrNone = Annotated[str, BeforeValidator(lambda value: value and _amount(value))]


class Toleration(Settings):
    """A node's taint that pods tolerate."""

    key: LabelKeyOrNone = ""
    """The taint's key; empty (only with Exists): any key."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """Exists tolerates any value of the taint, Equal only `value`."""
    value: LabelValue = ""
    """The taint's value, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute", ""] = "NoSchedule"
    """The taint's effect; empty: any effect."""

    @model_validator(mode="after")
    def _value_is_compared(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError("Exists takes no value: set operator: Equal, or leave the value out")
        if self.operator == "Equal" and not self.key:
            raise ValueError("Equal compares a key's value: set key, or operator: Exists")
        return self


class StepResources(Settings):
    """Resources of each pod of one step."""

    cpu: Cores = 1.0
    """CPU request in cores, such as 2, 0.5 or 250m."""
    cpu_limit: Cores | None = None
    """CPU limit in cores; unset: the same as `cpu`."""
    memory: Memory = "4Gi"
    """Memory request and limit, such as 16Gi."""
    accelerators: int = Field(0, ge=0, le=10_000)
    """Number of accelerators."""
    accelerator_type: ResourceName = "nvidia.com/gpu"
    """The accelerators' resource name."""
    shared_memory: MemoryOrNone = ""
    """Size of /dev/shm, a part of `memory` that vLLM's workers and NCCL need; empty: the runtime's 64 MB."""
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels that the node must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of the node that the pod tolerates."""
    timeout_seconds: int = Field(3600, ge=1, le=366 * 24 * 3600)
    """Time limit of one pod in seconds, including its retries."""
    retries: int = Field(3, ge=0, le=100)
    """Retries after a failed attempt: in the same pod, after half a minute and then twice as long each time; or in a
    new pod, if the pod was lost. Preparation is not retried, because it fails on mistakes of the user."""


Profile = Literal["laptop", "cpu", "one-node", "many-nodes"]
"""The kind of cluster.

laptop: for the sandbox. Of a node's two cores Kubernetes, Kubeflow and MLflow keep up to 1.7, which leaves a step a
quarter of one. Idle CPU may be borrowed and given back, so two cores are the limit; memory cannot be given back, so its
limit is what was asked for. The sandbox's steps take 0.6 GiB at most and a few seconds of CPU time each.
cpu: two cores and 8 GiB a pod, for models of a hundred million parameters; one-node: one accelerator for a shard, all
eight for training; many-nodes: the same, all shards at once, and time to bring in a large model.
"""
ByProfile = Mapping[Profile, StepResources]

_LAPTOP = StepResources(cpu=0.25, cpu_limit=2, memory="2Gi")
_CPU = StepResources(cpu=2, memory="8Gi")
_TAINTED = (Toleration(key="nvidia.com/gpu"),)
_GPU = StepResources(
    cpu=8, memory="96Gi", accelerators=1, shared_memory="16Gi", timeout_seconds=6 * 3600, tolerations=_TAINTED
)
_NODE = StepResources(
    cpu=64, memory="640Gi", accelerators=8, shared_memory="64Gi", timeout_seconds=24 * 3600, tolerations=_TAINTED
)
SMALL: ByProfile = {
    "laptop": _LAPTOP,
    "cpu": StepResources(),
    "one-node": StepResources(),
    "many-nodes": StepResources(),
}
"""Of a step that runs no model."""
ONE_ACCELERATOR: ByProfile = {"laptop": _LAPTOP, "cpu": _CPU, "one-node": _GPU, "many-nodes": _GPU}
"""Of a step that runs a model."""
WHOLE_NODE: ByProfile = {"laptop": _LAPTOP, "cpu": _CPU, "one-node": _NODE, "many-nodes": _NODE}
"""Of a step that trains one."""
