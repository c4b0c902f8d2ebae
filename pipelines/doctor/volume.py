"""The volume of the model folders."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from ..recipe import Recipe
from .case import Case
from .finding import Finding

_MANY = {"ReadWriteMany", "ReadOnlyMany"}


def model_cache(case: Case) -> Iterator[Finding]:
    """The claim of the model folders: bound, for as many nodes as there are, with the models below its mount."""
    recipe = case.needs
    models, folders = recipe.cluster.models, _folders(recipe)
    if not models:
        found = f"not set; the images have to hold {', '.join(folders)}" if folders else "the recipe names no folders"
        yield Finding("model cache", "not tried" if folders else "not needed", "cluster.models", found)
        return
    cluster = case.home
    tried = f"claim {models.claim} in {cluster.namespace}"
    method = cluster.core.read_namespaced_persistent_volume_claim
    claim = cluster.read(tried, method, models.claim, cluster.namespace)
    if claim is None:
        advice = "install the chart with models.create=true, or set cluster.models.claim to one that there is"
        yield Finding("model cache", "failed", tried, "there is no such claim, so no pod would start", advice)
        return
    modes = claim.status.access_modes or claim.spec.access_modes or []
    yield _bound(tried, claim)
    yield _shared(f"access modes of {models.claim}", modes, recipe.cluster.profile == "many-nodes")
    for folder in folders:
        if not PurePosixPath(folder).is_relative_to(models.path):
            advice = f"put the folder on the volume and name it below {models.path}, or hold it in the images"
            yield Finding("model cache", "failed", folder, f"not below {models.path}: pods may not see it", advice)


def _folders(recipe: Recipe) -> list[str]:
    """The folders of models, rules, prompts and benchmarks that steps read; not those in a store or on the hub."""
    sets = [each for each in (recipe.prompts, recipe.evaluation.prompts) if each]
    paths = [path for each in sets for path in each.paths if "://" not in path]
    read = [path for oracle in (*recipe.oracles.values(), *recipe.evaluation.judges) for path in oracle.paths]
    read += [path for benchmark in recipe.evaluation.benchmarks for path in benchmark.paths]
    return [*recipe.policy.paths, *map(str, read), *paths]


def _bound(tried: str, claim: object) -> Finding:
    phase, volume = claim.status.phase, claim.spec.volume_name  # type: ignore[attr-defined]
    if phase == "Bound":
        return Finding("model cache", "ok", tried, f"bound to {volume}")
    advice = (
        "see kubectl describe pvc; a class that waits for its first consumer binds when the first pod mounts it, "
        "such as the one that brings in the models"
    )
    return Finding("model cache", "failed", tried, f"it is {phase}, not Bound", advice)


def _shared(tried: str, modes: list[str], many_nodes: bool) -> Finding:
    said = ", ".join(modes) or "none"
    if modes == ["ReadWriteOncePod"]:
        advice = "make a claim with ReadWriteMany, or ReadWriteOnce for one node"
        return Finding("model cache", "failed", tried, f"{said}: one pod at a time", advice)
    if many_nodes and not _MANY & set(modes):
        advice = "make a claim with ReadWriteMany or ReadOnlyMany, or set cluster.profile to one-node"
        return Finding("model cache", "failed", tried, f"{said}: one node, and the profile is many-nodes", advice)
    return Finding("model cache", "ok", tried, said)
