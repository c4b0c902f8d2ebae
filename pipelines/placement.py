"""The cluster configuration of a task: image, resources, volumes, environment, retries, labels."""

import json
from collections.abc import Mapping
from typing import Any

from kfp import dsl, kubernetes

from nashflow.components.runtime.jobs import NAMESPACE, NODE, POD

from .cluster.settings import ClusterSettings
from .recipe import Recipe
from .resources import SMALL, Profile, StepResources
from .steps import IMAGES, Step


def place(task: dsl.PipelineTask, step: Step, recipe: Recipe, images: Mapping[str, Any], group: str = "") -> None:
    """Give a task everything that its step's pods need on a cluster; a local run reads none of it.

    `images` are the parameters of the pipeline that hold the runtimes'.

    KFP's cache is off: a hit would skip verification and ignore code changes. The pods fit the restricted Pod Security
    Standard with the images' own user, whatever UID the cluster gives it.
    """
    resources = recipe.cluster.resources(step.name)
    if step.job(recipe):
        _hand_on(task, resources)
        resources = _waiting(resources, recipe.cluster.profile)
    task.set_container_image(images[IMAGES[step.runtime_in(recipe, group)]]).set_caching_options(False)
    _ask_for(task, resources)
    if resources.retries:
        task.set_retry(resources.retries, "60s", backoff_factor=2, backoff_max_duration=f"{_all_attempts(resources)}s")
    kubernetes.set_timeout(task, resources.timeout_seconds)
    kubernetes.set_security_context(task, run_as_non_root=True)
    kubernetes.add_pod_label(task, "nashflow/step", step.name)
    _environment(task, recipe.cluster)
    if recipe.cluster.models and step.sees_models:
        kubernetes.mount_pvc(task, recipe.cluster.models.claim, recipe.cluster.models.path)


def _hand_on(task: dsl.PipelineTask, resources: StepResources) -> None:
    """Tell the step's pod who it is, and what each pod of the job that it makes asks for."""
    kubernetes.use_field_path_as_env(task, POD, "metadata.name")
    kubernetes.use_field_path_as_env(task, NAMESPACE, "metadata.namespace")
    devices = {resources.accelerator_type: str(resources.accelerators)} if resources.accelerators else {}
    request, limit = ({"cpu": cores, "memory": resources.memory} | devices for cores in _cores(resources))
    node = {
        "requests": request,
        "limits": limit,
        "accelerators": resources.accelerators,
        "shared_memory": resources.shared_memory,
        "node_selector": resources.node_selector,
        "tolerations": [
            {key: value for key, value in toleration.model_dump().items() if value}
            for toleration in resources.tolerations
        ],
    }
    task.set_env_variable(NODE, json.dumps(node, sort_keys=True))


def _waiting(resources: StepResources, profile: Profile) -> StepResources:
    """What a pod asks for that only waits for others."""
    return SMALL[profile].model_copy(
        update={"timeout_seconds": resources.timeout_seconds, "retries": resources.retries}
    )


def _cores(resources: StepResources) -> tuple[str, str]:
    """Request and limit."""
    request, limit = (f"{cores:.8g}" for cores in (resources.cpu, resources.cpu_limit or resources.cpu))
    return request, limit


def _ask_for(task: dsl.PipelineTask, resources: StepResources) -> None:
    request, limit = _cores(resources)
    task.set_cpu_request(request).set_cpu_limit(limit)
    task.set_memory_request(resources.memory).set_memory_limit(resources.memory)
    if resources.accelerators:
        task.set_accelerator_type(resources.accelerator_type).set_accelerator_limit(resources.accelerators)
    if resources.shared_memory:
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=resources.shared_memory)
    for key, value in resources.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in resources.tolerations:
        kubernetes.add_toleration(
            task, toleration.key or None, toleration.operator, toleration.value or None, toleration.effect or None
        )


def _all_attempts(resources: StepResources) -> int:
    """Seconds until the last attempt at a task has to be over: Argo bounds all of them together, waits included."""
    waits = 60 * ((1 << min(resources.retries, 20)) - 1)
    return (resources.retries + 1) * resources.timeout_seconds + waits


def _environment(task: dsl.PipelineTask, cluster: ClusterSettings) -> None:
    for source in cluster.secrets:
        kubernetes.use_secret_as_env(task, source.name, source.keys)
    for source in cluster.config_maps:
        kubernetes.use_config_map_as_env(task, source.name, source.keys)
    if cluster.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(cluster.image_pull_secrets))
