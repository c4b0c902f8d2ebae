"""Lists of the shipped recipes (from their leading comments) and of the methods (from their docstrings)."""

import inspect
import itertools
import re
from collections.abc import Mapping

from nashflow.components.core.settings import variants_of

from ..recipe import SHIPPED, Recipe

_SENTENCE = re.compile(r"(.+?)\.(\s|$)")


def recipes() -> dict[str, str]:
    """The shipped recipes: what each is, by name."""
    return {path.stem: _described(path.read_text(encoding="utf-8")) for path in sorted(SHIPPED.glob("*.yaml"))}


def _described(recipe: str) -> str:
    """The first sentence of a recipe's leading comment, below the line for editors."""
    comment = itertools.takewhile(lambda line: line.startswith("#"), recipe.splitlines())
    text = " ".join(line.lstrip("# ") for line in comment if "yaml-language-server:" not in line)
    found = _SENTENCE.match(text)
    return found[1] if found else text


def methods() -> dict[str, str]:
    """The methods, those of installed packages too: what each is and its paper, by name."""
    chosen = variants_of(Recipe.model_fields["method"])
    assert chosen is not None
    return {name: _titled(model) for name, model in chosen.members.items()}


def _titled(model: type) -> str:
    """The first paragraph of the docstring of a method's file, or else of its class."""
    text = inspect.getdoc(inspect.getmodule(model)) or inspect.getdoc(model) or ""
    return " ".join(text.partition("\n\n")[0].split()).rstrip(".")


def print_listing(listed: Mapping[str, str]) -> None:
    """A line each, as wide as it is, so that it can be searched."""
    width = max(map(len, listed))
    for name, text in listed.items():
        print(f"{name:<{width}}  {text}")
