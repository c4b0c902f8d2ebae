"""NashFlow images with the tag of another version.

A node keeps the image that it has under a tag, so every version needs a tag of its own. Steps of another version may
not know the settings and arguments that this one gives them.
"""

import re
import sys

from nashflow.components.core.version import VERSION

from .names import IMAGE
from .recipe import Recipe
from .steps import STEPS

_OURS = re.compile(r"(.*/)?nashflow-(steps|vllm|training):.*")


def images_of(recipe: Recipe) -> dict[str, str]:
    """The images that a recipe's steps run in, by the runtime's name in `cluster.images`."""
    tasks = ((step, group) for step in STEPS.values() for group in step.groups(recipe, 0))
    runtimes = dict.fromkeys(step.runtime_in(recipe, group) for step, group in tasks)
    return {name: getattr(recipe.cluster.images, name) for name in runtimes}


def other_version(image: str) -> str:
    """The tag of a NashFlow image of another version; empty if it is of this version, or if that is not known.

    What follows a dash, as in 0.1.0-2, numbers the builds of one version. A digest or `latest` tells of no version.
    """
    tag = str(re.fullmatch(IMAGE, image)["tag"] or "latest")  # type: ignore[index]
    same = tag in (VERSION, "latest") or tag.startswith(f"{VERSION}-")
    return "" if same or not _OURS.fullmatch(image) else tag


def warn_of_images(recipe: Recipe, where: str = "") -> None:
    """Print a line on stderr for each image of a recipe that is of another version; `where` stands before it."""
    for name, image in images_of(recipe).items():
        if tag := other_version(image):
            found = f"cluster.images.{name} is {image}, and this is NashFlow {VERSION}"
            print(f"nashflow: warning: {where}{found}: {advice(name, image, tag)}", file=sys.stderr)


def advice(name: str, image: str, tag: str) -> str:
    """Advice about an image of another version."""
    wanted = image.partition("@")[0].removesuffix(tag) + VERSION
    return f"build and push {wanted}, and set cluster.images.{name} to it, or install NashFlow {tag} here"
