"""Kubernetes: does its API answer?"""

from collections.abc import Iterator

from .case import Case
from .finding import Finding


def kubernetes_api(case: Case) -> Iterator[Finding]:
    """Ask for its version, which everybody may."""
    cluster = case.cluster
    found = f"{cluster.version}; looking at the namespace {cluster.namespace}"
    yield Finding("Kubernetes", "ok", f"version of {cluster.api.configuration.host}", found)
