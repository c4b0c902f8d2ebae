"""Engines that a recipe names and this version does not have: said before anything starts."""

import json
import sys

from nashflow.components.core.errors import UserError
from nashflow.components.recipe import Recipe

from .compiled import Graph


def warn_of_engines(recipe: Recipe | None) -> None:
    """A line on stderr for each engine that no image has."""
    for line in recipe.unavailable if recipe else ():
        print(f"nashflow: warning: {line}", file=sys.stderr)


def recipe_in(graph: Graph) -> Recipe | None:
    """The recipe that a compiled graph hands to its first step; None where there is none that this version can read."""
    for _, _, task in graph.tasks():
        source = task.get("inputs", {}).get("parameters", {}).get("recipe", {})
        text = source.get("runtimeValue", {}).get("constant", "")
        try:
            return Recipe.parse(json.loads(text), "recipe")
        except (ValueError, TypeError, UserError):
            continue
    return None
