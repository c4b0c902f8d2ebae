"""Kubeflow Trainer, which training on several nodes runs through."""

import json
from collections.abc import Iterator

from kubernetes import client

from ..recipe import Recipe
from ..steps import job_of
from .case import Case
from .cluster import Cluster
from .finding import Finding

_GROUP, _VERSION = "trainer.kubeflow.org", "v1alpha1"
_KINDS = ("trainjobs", "trainingruntimes", "clustertrainingruntimes")
_FIELD = "runtimePatches"
_TORCHRUN = "set training.launcher to torchrun"


def needs_trainer(recipe: Recipe) -> bool:
    """Whether the recipe trains by a TrainJob."""
    return job_of(recipe) is not None


def trainer(case: Case) -> Iterator[Finding]:
    """The kinds of Kubeflow Trainer, the fields of a TrainJob, and the runtime that the recipe names."""
    job = job_of(case.needs)
    tried = f"{_GROUP}/{_VERSION}: {', '.join(_KINDS)}"
    if job is None:
        yield Finding("Trainer", "not needed", tried, "the recipe trains in one pod")
        return
    cluster = case.home
    served = cluster.read("the kinds of Kubeflow Trainer", _custom(cluster).get_api_resources, _GROUP, _VERSION)
    there = {resource.name for resource in served.resources} if served else set()
    if missing := [kind for kind in _KINDS if kind not in there]:
        found = f"not served: {', '.join(missing)}"
        advice = f"install Kubeflow Trainer 2.2 or newer (an administrator), or {_TORCHRUN}"
        yield Finding("Trainer", "failed", tried, found, advice)
        return
    yield Finding("Trainer", "ok", tried, "all served")
    yield _fields(cluster)
    yield _runtime(cluster, job.runtime)


def _custom(cluster: Cluster) -> client.CustomObjectsApi:
    return client.CustomObjectsApi(cluster.api)


def _fields(cluster: Cluster) -> Finding:
    """Whether a TrainJob has the field by which its pods get volumes and accounts: its name has changed twice."""
    tried = f"the field {_FIELD} of a TrainJob"
    path = f"/openapi/v3/apis/{_GROUP}/{_VERSION}"
    options = {"auth_settings": ["BearerToken"], "response_type": "object", "_return_http_data_only": True}
    schema = cluster.read("the schema of TrainJobs", cluster.api.call_api, path, "GET", **options)
    schemas = (schema or {}).get("components", {}).get("schemas", {})
    if f'"{_FIELD}"' in json.dumps(schemas):
        return Finding("Trainer", "ok", tried, "is there: 2.2 or newer")
    advice = f"upgrade Kubeflow Trainer to 2.2 or newer (an administrator), or {_TORCHRUN}"
    return Finding("Trainer", "failed", tried, "is not there: Kubeflow Trainer is older than 2.2", advice)


def _runtime(cluster: Cluster, name: str) -> Finding:
    """The runtime of the namespace, or else the cluster's."""
    api, tried = _custom(cluster), f"training runtime {name}"
    own = cluster.read(_KINDS[1], api.list_namespaced_custom_object, _GROUP, _VERSION, cluster.namespace, _KINDS[1])
    everywhere = cluster.read(_KINDS[2], api.list_cluster_custom_object, _GROUP, _VERSION, _KINDS[2])
    found = {item["metadata"]["name"] for listed in (own, everywhere) if listed for item in listed["items"]}
    if name in found:
        return Finding("Trainer", "ok", tried, "is there")
    there = f"neither {cluster.namespace} nor the cluster has it; they have {', '.join(sorted(found)) or 'none'}"
    advice = f"set training.launcher.runtime to one for torch that there is, or install it, or {_TORCHRUN}"
    return Finding("Trainer", "failed", tried, there, advice)
