"""The recipe's `cluster` section: what the pods of a submitted run ask for; `run` reads none of it."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, field_serializer, model_validator

from nashflow.components.core.settings import Settings

from .names import (
    IMAGE,
    DataKey,
    ImageName,
    LabelKey,
    LabelKeyOrNone,
    LabelValue,
    MountPath,
    ObjectName,
    ObjectNameOrNone,
    ResourceName,
    RunRoot,
    VariableName,
)

StepName = Literal[
    "preparation",
    "rollout",
    "judging",
    "logprobs",
    "training",
    "evaluation",
    "reporting",
    "closing",
]
STEPS: tuple[StepName, ...] = get_args(StepName)


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
    """Kubernetes reads a bare number as bytes, which nobody means."""
    found = _AMOUNT.fullmatch(str(value))
    if isinstance(value, bool) or not found or not float(found[1]):
        raise ValueError(f"{value!r} is no amount of memory: set a number with Mi, Gi or Ti, such as 16Gi")
    if not found[2]:
        raise ValueError(f"{value} has no unit: set {value}Gi, or another of Mi, Gi, Ti")
    # KFP takes whole numbers alone.
    return f"{math.ceil(_bytes(value) / _BYTES['Mi'])}Mi" if "." in value else value


def _bytes(amount: str) -> float:
    return float(amount[:-2]) * _BYTES[amount[-2:]] if amount else 0.0


Cores = Annotated[float, Field(ge=0.001, le=10_000, multiple_of=0.001), BeforeValidator(_cores)]
Memory = Annotated[str, BeforeValidator(_amount)]
MemoryOrNone = Annotated[str, BeforeValidator(lambda value: value and _amount(value))]


class Toleration(Settings):
    """A node's taint that pods put up with."""

    key: LabelKeyOrNone = ""
    """The taint's key; empty, with Exists: any."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """Whether the taint's value has to be `value`."""
    value: LabelValue = ""
    """The taint's value, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute", ""] = "NoSchedule"
    """The taint's effect; empty: any."""

    @model_validator(mode="after")
    def _value_is_compared(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError("Exists takes no value: set operator: Equal, or leave the value out")
        if self.operator == "Equal" and not self.key:
            raise ValueError("Equal compares a key's value: set key, or operator: Exists")
        return self


class StepResources(Settings):
    """What the pods of one step ask for, each."""

    cpu: Cores = 1.0
    """CPU cores that the node keeps for it, such as 2, 0.5 or 250m."""
    cpu_limit: Cores | None = None
    """CPU cores that it takes at most, where the node has more to spare; unset: `cpu`."""
    memory: Memory = "4Gi"
    """Memory, requested and at most, such as 16Gi."""
    accelerators: int = Field(0, ge=0, le=10_000)
    """Number of accelerators."""
    accelerator_type: ResourceName = "nvidia.com/gpu"
    """The accelerators' resource name."""
    shared_memory: MemoryOrNone = ""
    """Size of /dev/shm, a part of `memory` that vLLM's workers and NCCL need; empty: the runtime's 64 MB."""
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels that the node must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of the node that are no hindrance."""
    timeout_seconds: int = Field(3600, ge=1, le=366 * 24 * 3600)
    """Longest time of one pod, with its attempts."""
    retries: int = Field(3, ge=0, le=100)
    """Further attempts after one that failed: in its pod, half a minute later and then twice as long after each; and
    in a new one, where the pod was lost. Preparation gets none, because what it refuses is the user's to mend."""


class StepOverrides(StepResources):
    """What differs from the profile, for one step."""


class EnvironmentSource(Settings):
    """A Secret or ConfigMap whose entries become environment variables of every step."""

    name: ObjectName
    """Its name, in the namespace of the run."""
    keys: dict[DataKey, VariableName] = Field(min_length=1)
    """Environment variable by key."""


class ModelCache(Settings):
    """A volume of model folders, for the steps that read models."""

    claim: ObjectName
    """The PersistentVolumeClaim's name; ReadWriteMany or ReadOnlyMany where steps run on several nodes."""
    path: MountPath = "/models"
    """Where it is mounted; recipes name model folders below it."""


class ImageSettings(Settings):
    """The image of each runtime."""

    steps: ImageName = "nashflow-steps:0.1.0"
    """Of every step that has no other of these; its torch is for CPUs."""
    vllm: ImageName = "nashflow-vllm:0.1.0"
    """Of every step but training that asks for accelerators; without them, of rollout and evaluation by vLLM."""
    training: ImageName = "nashflow-training:0.1.0"
    """Of training that asks for accelerators; without them, of training by DeepSpeed."""


_LAPTOP = StepResources(cpu=0.25, cpu_limit=2, memory="2Gi")
_CPU = StepResources(cpu=2, memory="8Gi")
_SMALL = StepResources(cpu=1, memory="4Gi", retries=0)
_GPU = StepResources(cpu=8, memory="96Gi", accelerators=1, shared_memory="16Gi", timeout_seconds=6 * 3600)
_NODE = StepResources(cpu=64, memory="640Gi", accelerators=8, shared_memory="64Gi", timeout_seconds=24 * 3600)
_TAINTED = {"tolerations": (Toleration(key="nvidia.com/gpu"),)}
_EVERYWHERE = {
    "preparation": _SMALL,
    **dict.fromkeys(("reporting", "closing"), _SMALL.model_copy(update={"retries": 3})),
}
_ON_GPUS = {
    **dict.fromkeys(("rollout", "judging", "logprobs", "evaluation"), _GPU.model_copy(update=_TAINTED)),
    "training": _NODE.model_copy(update=_TAINTED),
    **_EVERYWHERE,
}
PROFILES: Mapping[str, Mapping[str, StepResources]] = {
    "laptop": {**dict.fromkeys(STEPS, _LAPTOP), "preparation": _LAPTOP.model_copy(update={"retries": 0})},
    "cpu": {**dict.fromkeys(STEPS, _CPU), **_EVERYWHERE},
    "one-node": _ON_GPUS,
    "many-nodes": {
        **_ON_GPUS,
        "preparation": _SMALL.model_copy(update={"memory": "16Gi", "timeout_seconds": 3 * 3600}),
    },
}
"""What the steps ask for, by the kind of cluster.

laptop: for the sandbox. Of a node's two cores Kubernetes, Kubeflow and MLflow keep up to 1.7, which leaves a step a
quarter of one. Idle CPU may be borrowed and given back, so two cores are the limit; memory cannot be given back, so its
limit is what was asked for. The sandbox's steps take 0.6 GiB at most and a few seconds of CPU time each.
cpu: two cores and 8 GiB a pod, for models of a hundred million parameters; one-node: one accelerator for a shard, all
eight for training; many-nodes: the same, all shards at once, and time to bring in a large model.
"""
_SHARDS_AT_ONCE = {"laptop": 0, "cpu": 0, "one-node": 8, "many-nodes": 0}


def is_fixed(image: str) -> bool:
    """Whether an image's name has a digest, or a tag other than latest: its content does not change."""
    name = re.fullmatch(IMAGE, image)
    return name is not None and bool(name["digest"] or name["tag"] not in (None, "latest"))


class ClusterSettings(Settings):
    """The recipe's `cluster` section: where and with what the steps of a submitted run run."""

    profile: Literal["laptop", "cpu", "one-node", "many-nodes"] = "cpu"
    """What steps ask for unless `steps` says otherwise: laptop, enough for the sandbox; cpu; one-node, with eight GPUs;
    many-nodes, several such."""
    steps: dict[StepName, StepOverrides] = Field(default_factory=dict)
    """What differs from the profile, by step, such as {training: {memory: 400Gi}}."""
    images: ImageSettings = ImageSettings()
    """The image of each runtime."""
    production: bool = False
    """Refuse images that have neither a tag other than latest nor a digest: they could change between two steps."""
    run_root: RunRoot = ""
    """Run root of submitted runs, such as s3://bucket/runs/{job}, where {job} becomes the KFP job id."""
    service_account: ObjectNameOrNone = ""
    """The pods' service account; empty: Kubeflow's default."""
    secrets: tuple[EnvironmentSource, ...] = ()
    """Secrets whose entries become environment variables, such as the store's credentials."""
    config_maps: tuple[EnvironmentSource, ...] = ()
    """ConfigMaps whose entries become environment variables, such as the tracker's address."""
    image_pull_secrets: tuple[ObjectName, ...] = ()
    """Names of Secrets with registry credentials."""
    models: ModelCache | None = None
    """A volume of model folders."""
    shards_at_once: int | None = Field(None, ge=0, le=100_000)
    """Shards that run at the same time; 0: all; unset: the profile's."""
    log_format: Literal["text", "json"] = "text"
    """How the steps' log lines are written: text, or json for one JSON object a line, as log collectors read it."""
    ttl_seconds: int = Field(7 * 24 * 3600, ge=0, le=10 * 366 * 24 * 3600)
    """How long the workflow of a finished run stays; its results stay anyway. 0: for ever."""

    @model_validator(mode="after")
    def _images_are_fixed(self) -> Self:
        if self.production:
            for name, image in self.images.model_dump().items():
                if not is_fixed(image):
                    raise ValueError(
                        f"images.{name} is {image!r}, whose content may change: production needs a digest or a tag "
                        "other than latest"
                    )
        return self

    @model_validator(mode="after")
    def _steps_can_run(self) -> Self:
        for step in STEPS:
            asked = self.resources(step)
            where = f"steps.{step}"
            if step == "preparation" and asked.retries:
                raise ValueError(
                    f"{where}.retries is {asked.retries}, and what preparation refuses is the user's to mend: set 0"
                )
            if step != "preparation" and not asked.retries:
                raise ValueError(f"{where}.retries is 0, and pods die with their nodes: set 1 or more")
            if asked.cpu_limit is not None and asked.cpu_limit < asked.cpu:
                raise ValueError(
                    f"{where}.cpu_limit is {asked.cpu_limit:g}, for a cpu of {asked.cpu:g}: raise it, or lower "
                    f"{where}.cpu"
                )
            if _bytes(asked.shared_memory) >= _bytes(asked.memory):
                raise ValueError(
                    f"{where}.shared_memory is {asked.shared_memory}, of a memory of {asked.memory}: lower it, or set "
                    f"a larger {where}.memory"
                )
        return self

    @field_serializer("steps")
    def _only_what_is_set(self, steps: dict[StepName, StepOverrides]) -> dict[str, Any]:
        """Read again, what differs from the profile is the same, and nothing else."""
        return {step: overrides.model_dump(mode="json", exclude_unset=True) for step, overrides in steps.items()}

    @property
    def parallelism(self) -> int:
        """Shards at once; 0: all."""
        return _SHARDS_AT_ONCE[self.profile] if self.shards_at_once is None else self.shards_at_once

    def resources(self, step: str) -> StepResources:
        """What the pods of a step ask for: the profile's, with what `steps` says; its own `cpu` is its limit too."""
        chosen = self.steps.get(step, StepOverrides())  # type: ignore[call-overload]
        changes = {name: getattr(chosen, name) for name in chosen.model_fields_set}
        if "cpu" in changes:
            changes.setdefault("cpu_limit", None)
        return PROFILES[self.profile][step].model_copy(update=changes)
