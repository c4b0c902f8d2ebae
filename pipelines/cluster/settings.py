"""The recipe's `cluster` section: images and resources of the pods of a submitted run; `nashflow run` ignores it."""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, field_serializer, model_validator

from nashflow.components.core.settings import WHOLE, Settings, nearest
from nashflow.components.core.version import VERSION
from nashflow.components.runtime.protocol import StepCluster

from ..names import IMAGE, DataKey, ImageName, MountPath, ObjectName, ObjectNameOrNone, RunRoot, VariableName
from ..resources import Profile, StepResources, bytes_of
from ..steps import STEPS


def _known(step: str) -> str:
    if step not in STEPS:
        raise ValueError(f"unknown step{nearest(step, STEPS)}")
    return step


StepName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(STEPS)})]


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class StepOverrides(StepResources):
    """Exceptions to the profile for one step; unset fields are the profile's."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


class EnvironmentSource(Settings):
    """A Secret or ConfigMap whose entries become environment variables of every step."""

    name: ObjectName
    """Its name, in the namespace of the run."""
    keys: dict[DataKey, VariableName] = Field(min_length=1)
    """The entry's key: the environment variable that gets its value."""


class ModelCache(Settings):
    """A volume of model folders, for the steps that read models."""

    claim: ObjectName
    """The PersistentVolumeClaim's name; ReadWriteMany or ReadOnlyMany where steps run on several nodes."""
    path: MountPath = "/models"
    """Mount path; recipes name model folders below it."""


class ImageSettings(Settings):
    """The image of each runtime."""

    steps: ImageName = f"nashflow-steps:{VERSION}"
    """Image of all steps that use neither of the other two; its torch is for CPUs."""
    vllm: ImageName = f"nashflow-vllm:{VERSION}"
    """Image of steps with accelerators, except training, and of rollout and evaluation with vLLM."""
    training: ImageName = f"nashflow-training:{VERSION}"
    """Image of training with accelerators or with DeepSpeed."""


_SHARDS_AT_ONCE: dict[Profile, int] = {"laptop": 0, "cpu": 0, "one-node": 8, "many-nodes": 0}


def is_fixed(image: str) -> bool:
    """Whether an image's name has a digest, or a tag other than latest: its content does not change."""
    name = re.fullmatch(IMAGE, image)
    return name is not None and bool(name["digest"] or name["tag"] not in (None, "latest"))


class ClusterSettings(StepCluster):
    """The recipe's `cluster` section: where the steps of a submitted run are executed, with which images and
    resources."""

    model_config = WHOLE

    profile: Profile = "cpu"
    """Default resources of the steps. laptop: enough for the sandbox world; cpu: without GPUs; one-node: a node with
    eight GPUs; many-nodes: several such nodes."""
    steps: dict[StepName, StepOverrides] = Field(default_factory=dict)
    """Exceptions to the profile, by step, such as {training: {memory: 400Gi}}."""
    images: ImageSettings = ImageSettings()
    """The image of each runtime."""
    production: bool = False
    """Refuse images without a digest and with no tag other than latest, because they could change between two steps."""
    run_root: RunRoot = ""
    """Run root of submitted runs, such as s3://bucket/runs/{job}; {job} is replaced by the run's name, or by its id in
    a run started by a schedule or in Kubeflow's web interface."""
    service_account: ObjectNameOrNone = ""
    """The pods' service account; empty: Kubeflow's default."""
    secrets: tuple[EnvironmentSource, ...] = ()
    """Secrets whose entries become environment variables, such as the credentials of the object store."""
    config_maps: tuple[EnvironmentSource, ...] = ()
    """ConfigMaps whose entries become environment variables, such as MLflow's address."""
    image_pull_secrets: tuple[ObjectName, ...] = ()
    """Names of Secrets with registry credentials."""
    models: ModelCache | None = None
    """A volume of model folders."""
    shards_at_once: int | None = Field(None, ge=0, le=100_000)
    """Number of shards that run at the same time; 0: all; unset: the profile's default."""
    ttl_seconds: int = Field(7 * 24 * 3600, ge=0, le=10 * 366 * 24 * 3600)
    """Seconds until the workflow of a finished run is deleted; its results stay in any case. 0: never."""

    @model_validator(mode="after")
    def _images_are_fixed(self) -> Self:
        if self.production:
            for name, image in self.images.model_dump().items():
                if not is_fixed(image):
                    raise ValueError(
                        f"images.{name} is {image!r}, an image that may change: production needs a digest or a tag "
                        "other than latest"
                    )
        return self

    @model_validator(mode="after")
    def _steps_can_run(self) -> Self:
        for name, step in STEPS.items():
            asked = self.resources(name)
            where = f"steps.{name}"
            if asked.retries and not step.retried:
                raise ValueError(
                    f"{where}.retries is {asked.retries}, and what {name} refuses is a mistake of the user: set 0"
                )
            if step.retried and not asked.retries:
                raise ValueError(f"{where}.retries is 0, and pods die with their nodes: set 1 or more")
            if asked.cpu_limit is not None and asked.cpu_limit < asked.cpu:
                raise ValueError(
                    f"{where}.cpu_limit is {asked.cpu_limit:g}, for a cpu of {asked.cpu:g}: raise it, or lower "
                    f"{where}.cpu"
                )
            if bytes_of(asked.shared_memory) >= bytes_of(asked.memory):
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
        """Resources of a step's pods: the profile's, overridden by `steps`; a `cpu` set there is also the limit."""
        chosen = self.steps.get(step, StepOverrides())
        changes = {name: getattr(chosen, name) for name in chosen.model_fields_set}
        if "cpu" in changes:
            changes.setdefault("cpu_limit", None)
        return STEPS[step].defaults(self.profile).model_copy(update=changes)
