"""The images: their names say where they are, and what they name does not change; their pull secrets are there.

Whether an image is there only the nodes can tell, which may reach another network with credentials of their own:
`nashflow wait` says so of one that is missing.
"""

import re
from collections.abc import Iterator

from nashflow.components.core.version import VERSION

from ..cluster.settings import is_fixed
from ..image_versions import advice as advice_on_version
from ..image_versions import images_of, other_version
from ..names import IMAGE
from .case import Case
from .cluster import NotTried
from .finding import Finding

_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")


def images(case: Case) -> Iterator[Finding]:
    """The names of the recipe's images, and their pull secrets."""
    cluster = case.needs.cluster
    for name, image in images_of(case.needs).items():
        yield _named(name, image)
    for secret in cluster.image_pull_secrets:
        yield _pull_secret(case, secret)


def _named(name: str, image: str) -> Finding:
    setting = f"cluster.images.{name}"
    tried = f"{setting}: {image}"
    if not is_fixed(image):
        advice = f"set {setting} to a digest or a tag of its own, such as {image.removesuffix(':latest')}:{VERSION}"
        return Finding("images", "failed", tried, "its content may change between two steps of a run", advice)
    if tag := other_version(image):
        found = f"of another version than NashFlow {VERSION} here, whose settings its steps may not know"
        return Finding("images", "not known", tried, found, advice_on_version(name, image, tag))
    parts = re.fullmatch(IMAGE, image)
    if parts and parts["registry"]:
        return Finding("images", "ok", tried, f"fixed, in the registry {parts['registry']}")
    found = (
        "it names no registry, so each node that lacks it decides: containerd asks Docker Hub, CRI-O the registries of "
        "its configuration"
    )
    return Finding("images", "not known", tried, found, f"set {setting} to REGISTRY/{image}, unless nodes have it")


def _pull_secret(case: Case, name: str) -> Finding:
    tried = f"secret {name}"
    try:
        cluster = case.home
        secret = cluster.read(tried, cluster.core.read_namespaced_secret, name, cluster.namespace)
    except NotTried as reason:
        return Finding("images", "not tried", f"pull {tried}", str(reason), reason.advice)
    tried = f"pull secret {name} in {cluster.namespace}"
    create = f"kubectl create secret docker-registry {name} -n {cluster.namespace} --docker-server=…"
    if secret is None:
        return Finding("images", "failed", tried, "there is no such secret", create)
    if secret.type not in _TYPES:
        return Finding("images", "failed", tried, f"its type is {secret.type}, not {' or '.join(_TYPES)}", create)
    return Finding("images", "ok", tried, "is there")
