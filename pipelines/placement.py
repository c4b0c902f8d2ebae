"""The cluster configuration of a task: image, resources, volumes, environment, retries, labels."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl, kubernetes

from .cluster.settings import ClusterSettings
from .recipe import Recipe
from .resources import StepResources
from .steps import IMAGES, Step


def place(task: dsl.PipelineTask, step: Step, recipe: Recipe, images: Mapping[str, Any], group: str = "") -> None:
    """Give a task everything that its step's pods need on a cluster; a local run reads none of it.

    `images` are the parameters of the pipeline that hold the runtimes'.

    KFP's cache is off: a hit would skip verification and ignore code changes. The pods fit the restricted Pod Security
    Standard with the images' own user, whatever UID the cluster gives it.
    """
    resources = recipe.cluster.resources(step.name)
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


def _ask_for(task: dsl.PipelineTask, resources: StepResources) -> None:
    request, limit = (f"{cores:.8g}" for cores in (resources.cpu, resources.cpu_limit or resources.cpu))
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
