"""The images: what they name does not change, is there, and may be pulled."""

from collections.abc import Iterator, Mapping

from ..cluster import is_fixed
from ..placement import runtime
from ..plan import steps_of
from ..recipe import Recipe
from .case import Case
from .finding import Finding
from .pull_secrets import Logins, pull_secrets
from .registry import Image, look_up

_NODES = "no trouble where the nodes have credentials of their own"


def images(case: Case) -> Iterator[Finding]:
    """Digests or fixed tags of the recipe's images, whether they are there, and their pull secrets."""
    findings, read = pull_secrets(case)
    yield from findings
    logins = {registry: login for found in read for registry, login in (found or {}).items()}
    unseen, readable = set(), None not in read
    for name, image in _used(case.needs).items():
        yield _fixed(name, image)
        there = _there(name, image, logins, readable)
        yield there
        if there.state == "not tried":
            unseen.add(Image.parse(image).registry)
    left = unseen - {"", *logins}
    if left and logins and {finding.state for finding in findings} == {"ok"}:
        yield _uncovered(left, logins)


def _used(recipe: Recipe) -> Mapping[str, str]:
    """The images of the recipe's steps by their setting."""
    named = dict.fromkeys(runtime(recipe, step) for step in steps_of(recipe))
    return {name: getattr(recipe.cluster.images, name) for name in named}


def _fixed(name: str, image: str) -> Finding:
    tried = f"cluster.images.{name}: {image}"
    if is_fixed(image):
        how = "by its digest" if "@sha256:" in image else f"by the tag {Image.parse(image).reference}"
        return Finding("images", "ok", tried, f"fixed {how}")
    advice = f"set cluster.images.{name} to a digest or a tag of its own, such as {image.removesuffix(':latest')}:0.1.0"
    return Finding("images", "failed", tried, "its content may change between two steps of a run", advice)


def _there(name: str, image: str, logins: Logins, readable: bool) -> Finding:
    """Whether an image's registry has it, for the pull secret's user where there is one."""
    tried, parsed = f"manifest of {image}", Image.parse(image)
    if not parsed.registry:
        found = (
            f"{image} names no registry, so each node that lacks it decides: containerd asks Docker Hub, CRI-O the "
            "registries of its configuration"
        )
        return Finding("images", "not tried", tried, found, f"set cluster.images.{name} to REGISTRY/{image}")
    login = logins.get(parsed.registry)
    try:
        answer = look_up(parsed, login)
    except ConnectionError as error:
        return Finding("images", "not tried", tried, f"{image}: {error}", "no trouble where the nodes reach it")
    if answer == "there":
        return Finding("images", "ok", tried, "is there")
    if answer == "absent":
        advice = f"push it, or correct cluster.images.{name}"
        return Finding("images", "failed", tried, f"{parsed.registry} has no such image", advice)
    if login:
        advice = f"correct the pull secret of {parsed.registry}, or the rights of its user {login.user}"
        return Finding("images", "failed", tried, "not allowed with the pull secret's credentials", advice)
    found = "not allowed without credentials, or not there; nodes may have credentials of their own"
    if not readable or parsed.registry in logins:
        found = "not allowed without the pull secret's credentials, which cannot be used here"
    advice = f"name a Secret for {parsed.registry} in cluster.image_pull_secrets; {_NODES}"
    return Finding("images", "not known", tried, found, advice)


def _uncovered(registries: set[str], logins: Logins) -> Finding:
    """Registries that could not be asked, and that no pull secret is for."""
    found = f"for {', '.join(sorted(logins))}, and images are from {', '.join(sorted(registries))}"
    create = f"kubectl create secret docker-registry … --docker-server={min(registries)}; {_NODES}"
    return Finding("pull secrets", "not known", "cluster.image_pull_secrets", found, create)
