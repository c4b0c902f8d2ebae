"""The Secrets and ConfigMaps from which the recipe's steps take their environment."""

from collections.abc import Callable, Iterator
from typing import Any

from ..cluster.settings import EnvironmentSource
from .case import Case
from .finding import Finding


def secrets(case: Case) -> Iterator[Finding]:
    """The Secrets that the recipe names, with their keys; values are not looked at."""
    sources = case.needs.cluster.secrets
    if not sources:
        yield Finding("secrets", "not needed", "cluster.secrets", "the recipe names none")
    for source in sources:
        create = f"kubectl create secret generic {source.name}"
        yield _found(case, "secret", source, create, case.home.core.read_namespaced_secret)


def config_maps(case: Case) -> Iterator[Finding]:
    """The ConfigMaps that the recipe names, with their keys."""
    sources = case.needs.cluster.config_maps
    if not sources:
        yield Finding("config maps", "not needed", "cluster.config_maps", "the recipe names none")
    for source in sources:
        create = f"kubectl create configmap {source.name}"
        yield _found(case, "config map", source, create, case.home.core.read_namespaced_config_map)


def _found(case: Case, kind: str, source: EnvironmentSource, create: str, method: Callable[..., Any]) -> Finding:
    cluster, name = case.home, f"{kind} {source.name}"
    tried = f"{name} in {cluster.namespace}, with {', '.join(sorted(source.keys))}"
    there = cluster.read(name, method, source.name, cluster.namespace)
    if there is None:
        literals = " ".join(f"--from-literal={key}=…" for key in sorted(source.keys))
        advice = f"{create} -n {cluster.namespace} {literals}"
        return Finding(f"{kind}s", "failed", tried, "there is no such object, so no pod would start", advice)
    if missing := sorted(source.keys.keys() - (there.data or {}).keys()):
        has = f"it has {', '.join(sorted(there.data or {})) or 'no keys'}"
        advice = f"add {', '.join(missing)} to it, or correct cluster.{kind.replace(' ', '_')}s; {has}"
        return Finding(f"{kind}s", "failed", tried, f"it lacks {', '.join(missing)}, so no pod would start", advice)
    return Finding(f"{kind}s", "ok", tried, "all there")
