"""The recipe's `cluster` section: what the pods of a submitted run ask for; `run` reads none of it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from nashflow.components.shared.settings import Settings

StepName = Literal[
    "preparation",
    "rollout",
    "judging",
    "logprobs",
    "training",
    "evaluation",
    "reporting",
    "continuation",
    "closing",
]
STEPS: tuple[str, ...] = get_args(StepName)


def _quantity(value: Any) -> Any:
    """Kubernetes reads a bare number as bytes, which nobody means."""
    if isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"[\d.]+", value)):
        raise ValueError(f"{value} has no unit: set {value}Gi, or another of Mi, Gi, Ti")
    if isinstance(value, str) and value and not re.fullmatch(r"\d+(\.\d+)?(Mi|Gi|Ti)", value):
        raise ValueError(f"{value!r} is no amount of memory: set a number with Mi, Gi or Ti, such as 16Gi")
    return value


Memory = Annotated[str, BeforeValidator(_quantity)]


class Toleration(Settings):
    """A node's taint that pods put up with."""

    key: str
    """The taint's key."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """Whether the taint's value has to be `value`."""
    value: str = ""
    """The taint's value, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """The taint's effect."""


class StepResources(Settings):
    """What the pods of one step ask for, each."""

    cpu: float = Field(1.0, gt=0.0)
    """CPU cores, requested and at most."""
    memory: Memory = "4Gi"
    """Memory, requested and at most, such as 16Gi."""
    accelerators: int = Field(0, ge=0)
    """Number of accelerators."""
    accelerator_type: str = "nvidia.com/gpu"
    """The accelerators' resource name."""
    shared_memory: Memory = ""
    """Size of /dev/shm, in memory, which vLLM's workers and NCCL need; empty: the runtime's 64 MB."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that the node must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of the node that are no hindrance."""
    timeout_seconds: int = Field(3600, ge=1)
    """Longest time of one attempt."""
    retries: int = Field(3, ge=0)
    """Further attempts after one that failed, a minute later and then twice as long after each; preparation gets none,
    because what it refuses is the user's to mend."""


class StepOverrides(StepResources):
    """What differs from the profile, for one step."""


class EnvironmentSource(Settings):
    """A Secret or ConfigMap whose entries become environment variables of every step."""

    name: str
    """Its name, in the namespace of the run."""
    keys: dict[str, str] = Field(min_length=1)
    """Environment variable by key."""


class ModelCache(Settings):
    """A volume of model folders that every step sees."""

    claim: str
    """The PersistentVolumeClaim's name; ReadWriteMany or ReadOnlyMany where steps run on several nodes."""
    path: str = "/models"
    """Where it is mounted; recipes name model folders below it."""


class ImageSettings(Settings):
    """The image of each runtime."""

    steps: str = "nashflow-steps:0.1.0"
    """Of every step that has no other."""
    vllm: str = "nashflow-vllm:0.1.0"
    """Of rollouts by vLLM, and of judging and evaluation beside it."""
    training: str = "nashflow-training:0.1.0"
    """Of training by DeepSpeed."""
    client: str = "nashflow-client:0.1.0"
    """Of the task that submits the next run of a chain."""


_CPU = StepResources(cpu=2, memory="8Gi")
_SMALL = StepResources(cpu=1, memory="4Gi", retries=0)
_GPU = StepResources(cpu=8, memory="96Gi", accelerators=1, shared_memory="16Gi", timeout_seconds=6 * 3600)
_NODE = StepResources(cpu=64, memory="640Gi", accelerators=8, shared_memory="64Gi", timeout_seconds=24 * 3600)
_TAINTED = {"tolerations": (Toleration(key="nvidia.com/gpu"),)}
_EVERYWHERE = {
    "preparation": _SMALL,
    **dict.fromkeys(("reporting", "continuation"), _SMALL.model_copy(update={"retries": 3})),
    "closing": _SMALL,
}
_ON_GPUS = {
    **dict.fromkeys(("rollout", "judging", "logprobs", "evaluation"), _GPU.model_copy(update=_TAINTED)),
    "training": _NODE.model_copy(update=_TAINTED),
    **_EVERYWHERE,
}
PROFILES: Mapping[str, Mapping[str, StepResources]] = {
    "cpu": {**dict.fromkeys(STEPS, _CPU), **_EVERYWHERE},
    "one-node": _ON_GPUS,
    "many-nodes": {
        **_ON_GPUS,
        "preparation": _SMALL.model_copy(update={"memory": "16Gi", "timeout_seconds": 3 * 3600}),
    },
}
"""cpu: two cores a pod; one-node: one accelerator for a shard, all eight for training; many-nodes: the same, all shards
at once, and time to bring in a large model."""
_SHARDS_AT_ONCE = {"cpu": 0, "one-node": 8, "many-nodes": 0}


def is_fixed(image: str) -> bool:
    """Whether an image's name has a digest, or a tag other than latest: its content does not change."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return "@sha256:" in image or tag not in ("", "latest")


class ClusterSettings(Settings):
    """The recipe's `cluster` section: where and with what the steps of a submitted run run."""

    profile: Literal["cpu", "one-node", "many-nodes"] = "cpu"
    """What steps ask for unless `steps` says otherwise: cpu; one-node, with eight GPUs; many-nodes, several such."""
    steps: dict[StepName, StepOverrides] = Field(default_factory=dict)
    """What differs from the profile, by step, such as {training: {memory: 400Gi}}."""
    images: ImageSettings = ImageSettings()
    """The image of each runtime."""
    production: bool = False
    """Refuse images that have neither a tag other than latest nor a digest: they could change between two steps."""
    run_root: str = ""
    """Run root of submitted runs, such as s3://bucket/runs/{job}, where {job} becomes the KFP job id."""
    service_account: str = ""
    """The pods' service account; empty: Kubeflow's default."""
    secrets: tuple[EnvironmentSource, ...] = ()
    """Secrets whose entries become environment variables, such as the store's credentials."""
    config_maps: tuple[EnvironmentSource, ...] = ()
    """ConfigMaps whose entries become environment variables, such as the tracker's address."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets with registry credentials."""
    models: ModelCache | None = None
    """A volume of model folders."""
    shards_at_once: int | None = Field(None, ge=0)
    """Shards that run at the same time; 0: all; unset: the profile's."""
    iterations_per_run: int = Field(0, ge=0)
    """Iterations of one workflow. A longer recipe becomes a chain: each run submits the next, which goes on from its
    last policy under the same run root; 0: one run."""
    ttl_seconds: int = Field(7 * 24 * 3600, ge=0)
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

    @property
    def parallelism(self) -> int:
        """Shards at once; 0: all."""
        return _SHARDS_AT_ONCE[self.profile] if self.shards_at_once is None else self.shards_at_once

    def resources(self, step: str) -> StepResources:
        """What the pods of a step ask for: the profile's, with what `steps` says."""
        chosen = self.steps.get(step, StepOverrides())  # type: ignore[call-overload]
        changes = {name: getattr(chosen, name) for name in chosen.model_fields_set}
        return PROFILES[self.profile][step].model_copy(update=changes)
