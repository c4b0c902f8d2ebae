"""Settings of Argo's workflow controller that concern the pods of a run."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from nashflow.components.core.errors import UserError, one_line

from .case import Case
from .cluster import NotTried
from .finding import Finding

CONFIG_MAP = "workflow-controller-configmap"
_NEW_PODS = "lost pods are replaced"
_END = "a lost pod ends the run: nashflow retry resumes it, or an administrator sets OnError"
_POLICIES = {
    "OnError": (f"{_NEW_PODS}; a step that fails is repeated in its own pod", ""),
    "Always": (f"{_NEW_PODS}, and those of steps that fail, whatever the error", ""),
    "OnFailure": ("pods of steps that fail are replaced, whatever the error, and lost ones are not", _END),
    "OnTransientError": ("pods are replaced only after a few network errors", _END),
}


def retries(case: Case) -> Iterator[Finding]:
    """The controller's retry policy, which says which pods are made again."""
    try:
        strategy = _at(controller(case), "workflowDefaults", "spec", "templateDefaults", "retryStrategy")
    except NotTried as reason:
        yield Finding("retries", "not known", "Argo's retry policy", str(reason), reason.advice)
        return
    policy = strategy.get("retryPolicy") or "OnFailure"
    tried = f"Argo's retry policy: {policy}" + ("" if strategy.get("retryPolicy") else ", its default")
    if policy not in _POLICIES:
        advice = f"an administrator: set workflowDefaults in {CONFIG_MAP} to one of {', '.join(_POLICIES)}"
        yield Finding("retries", "failed", tried, "there is no such policy, so no run would start", advice)
        return
    yield Finding("retries", "ok", tried, *_POLICIES[policy])


def executor_resources(case: Case) -> Mapping[str, Any]:
    """Resources of the containers that Argo adds to each pod: `requests` and `limits`.

    Raises:
        NotTried: the configuration is not to be seen. UserError: it is not what Argo reads.
    """
    return _at(controller(case), "executor", "resources")


def controller(case: Case) -> Mapping[str, Any]:
    """The controller's configuration.

    Raises:
        NotTried: it is not to be seen. UserError: it is not what Argo reads.
    """
    kubeflow, cluster = case.kubeflow, case.cluster
    namespace = kubeflow.namespace or ("kubeflow" if kubeflow.several_users else case.namespace)
    name = f"config map {CONFIG_MAP} in {namespace}"
    found = cluster.read(name, cluster.core.read_namespaced_config_map, CONFIG_MAP, namespace)
    if found is None:
        raise NotTried(f"there is no {name}", "ask an administrator where Argo's workflow controller is")
    data: Mapping[str, str] = found.data or {}
    # Everything may stand in one entry.
    return _mapping(data["config"]) if "config" in data else data


def _at(settings: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The part of the settings at a path; empty where there is none."""
    for key in path:
        settings = _mapping(settings.get(key))
    return settings


def _mapping(value: Any) -> Mapping[str, Any]:
    """A part of the settings, which may be YAML in a text."""
    try:
        read = yaml.safe_load(value) if isinstance(value, str) else value
        if read is None or isinstance(read, Mapping):
            return read or {}
    except yaml.YAMLError:
        pass
    raise UserError(f"config map {CONFIG_MAP} cannot be read by Argo, at {one_line(value)[:60]!r}")
