"""The images: what they name does not change, and what is needed to pull them is there."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..cluster import is_fixed
from ..recipe import Recipe
from .case import Case
from .finding import Finding

_DEFAULT = "the default registry"
"""Of images whose name has no host; its secrets name it by a host that begins with index."""
_KIND = "kubernetes.io/dockerconfigjson"


def images(case: Case) -> Iterator[Finding]:
    """Digests or fixed tags of the recipe's images, and their pull secrets."""
    used = _used(case.needs)
    for name, image in used.items():
        yield _fixed(name, image)
    names = case.needs.cluster.image_pull_secrets
    if not names:
        yield Finding("pull secrets", "not needed", "cluster.image_pull_secrets", "the recipe names none")
    registries = {_registry(image) for image in used.values()}
    for name in names:
        yield _pull_secret(case, name, registries)


def _used(recipe: Recipe) -> Mapping[str, str]:
    """The images of the recipe's steps by their setting."""
    images = recipe.cluster.images
    needed = {"steps": True, "vllm": recipe.rollout.engine == "vllm", "training": recipe.training.engine == "deepspeed"}
    return {name: getattr(images, name) for name, wanted in needed.items() if wanted}


def _fixed(name: str, image: str) -> Finding:
    tried = f"cluster.images.{name}: {image}"
    if "@sha256:" in image:
        return Finding("images", "ok", tried, "fixed by its digest")
    if not is_fixed(image):
        advice = (
            f"set cluster.images.{name} to a digest or a tag of its own, such as {image.removesuffix(':latest')}:0.1.0"
        )
        return Finding("images", "failed", tried, "its content may change between two steps of a run", advice)
    return Finding(
        "images", "ok", tried, f"fixed by the tag {image.rpartition(':')[2]}; pulled from {_registry(image)}"
    )


def _registry(image: str) -> str:
    """The registry's host, as container runtimes read an image's name."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else _DEFAULT


def _pull_secret(case: Case, name: str, registries: set[str]) -> Finding:
    cluster, tried = case.cluster, f"secret {name} in {case.cluster.namespace}"
    create = f"kubectl create secret docker-registry {name} -n {cluster.namespace} --docker-server=…"
    secret = cluster.read(tried, cluster.core.read_namespaced_secret, name, cluster.namespace)
    if secret is None:
        return Finding("pull secrets", "failed", tried, "there is no such secret", create)
    if secret.type != _KIND:
        return Finding("pull secrets", "failed", tried, f"its type is {secret.type}, not {_KIND}", create)
    known = _hosts(secret)
    if not registries & known:
        found = (
            f"for {', '.join(sorted(known)) or 'no registry'}, and the images are from {', '.join(sorted(registries))}"
        )
        return Finding("pull secrets", "failed", tried, found, create)
    return Finding("pull secrets", "ok", tried, f"for {', '.join(sorted(registries & known))}")


def _hosts(secret: Any) -> set[str]:
    """The registries that a pull secret has credentials for."""
    try:
        auths = json.loads(base64.b64decode((secret.data or {})[".dockerconfigjson"]))["auths"]
        hosts = {host.partition("://")[2] or host for host in auths}
        return {_DEFAULT if host.startswith("index.") else host.partition("/")[0] for host in hosts}
    except (KeyError, ValueError, TypeError):
        return set()
