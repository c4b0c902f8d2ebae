"""Kubeflow Trainer, which training on several nodes runs through."""

from collections.abc import Iterator

from kubernetes import client

from ..recipe import Recipe
from .case import Case
from .finding import Finding

_GROUP, _VERSION = "trainer.kubeflow.org", "v1alpha1"
_KINDS = ("trainjobs", "trainingruntimes", "clustertrainingruntimes")


def needs_trainer(recipe: Recipe) -> bool:
    """Whether the recipe trains on several nodes at once."""
    return recipe.training.engine.several_nodes and recipe.cluster.profile == "many-nodes"


def trainer(case: Case) -> Iterator[Finding]:
    """The kinds of Kubeflow Trainer in the cluster's list of what it serves, which everybody may read."""
    tried = f"{_GROUP}/{_VERSION}: {', '.join(_KINDS)}"
    if not needs_trainer(case.needs):
        yield Finding("Trainer", "not needed", tried, "the recipe trains in one pod")
        return
    api = client.CustomObjectsApi(case.cluster.api)
    served = case.cluster.read("the kinds of Kubeflow Trainer", api.get_api_resources, _GROUP, _VERSION)
    there = {resource.name for resource in served.resources} if served else set()
    if missing := [kind for kind in _KINDS if kind not in there]:
        found = f"not served: {', '.join(missing)}"
        advice = "install Kubeflow Trainer v2 (an administrator), or set cluster.profile to one-node"
        yield Finding("Trainer", "failed", tried, found, advice)
    else:
        yield Finding("Trainer", "ok", tried, "all served")
