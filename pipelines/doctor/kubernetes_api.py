"""Kubernetes: does its API answer?"""

from collections.abc import Iterator

from .case import Case
from .finding import Finding


def kubernetes_api(case: Case) -> Iterator[Finding]:
    """Its version, which everybody may see."""
    cluster = case.opened_cluster
    if isinstance(cluster, Exception):
        raise cluster
    found = f"{cluster.version}; looking at the namespace {cluster.namespace}"
    yield Finding("Kubernetes", "ok", f"version of {cluster.api.configuration.host}", found)
