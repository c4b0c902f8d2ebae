"""The configuration from which KFP's launcher, which runs in every pod, gets its access to the object store."""

from collections.abc import Mapping
from typing import Any

import yaml

from .case import Case
from .cluster import Right

CONFIG_MAP = "kfp-launcher"
_ROOT = "minio://mlpipeline/v2/artifacts"
_SECRET = "mlpipeline-minio-artifact"
"""KFP's own defaults (backend/src/v2/config/env.go)."""


def launcher_rights(case: Case) -> tuple[Right, ...]:
    """The right to read the launcher's Secret, if it needs one.

    Raises:
        NotTried: the launcher's configuration may not be looked at. ValueError: it is none.
    """
    cluster = case.home
    method = cluster.core.read_namespaced_config_map
    found = cluster.read(f"config map {CONFIG_MAP}", method, CONFIG_MAP, cluster.namespace)
    secret = secret_of((found.data if found else None) or {})
    return (Right("", "secrets", "get", secret),) if secret else ()


def secret_of(configuration: Mapping[str, str]) -> str:
    """Name of the Secret with the store's credentials; empty where they come from the pod itself.

    Raises:
        ValueError: `providers` is not what KFP reads.
    """
    root = configuration.get("defaultPipelineRoot") or _ROOT
    scheme, _, place = root.partition("://")
    bucket, _, prefix = place.partition("/")
    try:
        provider = (_lower(yaml.safe_load(configuration.get("providers", ""))) or {}).get(scheme) or {}
        if not provider or "?" in root:
            return _SECRET if scheme == "minio" and "?" not in root else ""
        overrides = (each for each in provider.get("overrides") or () if each.get("bucketname") == bucket)
        fitting = (each for each in overrides if prefix.startswith(each.get("keyprefix") or ""))
        credentials = next(fitting, provider.get("default") or {})["credentials"]
        return "" if credentials.get("fromenv") else str(credentials["secretref"]["secretname"])
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        raise ValueError(f"providers.{scheme} in config map {CONFIG_MAP} lacks credentials, or is not YAML") from None


def _lower(value: Any) -> Any:
    """With its keys in lower case: KFP reads them by sigs.k8s.io/yaml, which does not regard their case."""
    if isinstance(value, list):
        return [_lower(each) for each in value]
    return {str(key).lower(): _lower(each) for key, each in value.items()} if isinstance(value, dict) else value
