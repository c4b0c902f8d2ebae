"""Values of settings in the recipes of papers, with the comments that give their sources."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel
from yaml.nodes import MappingNode, Node

from nashflow.components.core.settings import variants_of

from ..recipe import SHIPPED, Recipe

PAPERS = (
    *("inpo-llama3-8b", "inpo-llama3-8b-rm", "iterative-dpo-llama3-8b", "sppo-llama3-8b"),
    *("onpo-llama3-8b", "egpo-llama3-8b", "mnpo-llama3-8b", "dno-llama3-8b"),
)
"""The recipes that follow a paper; the first one that has a setting speaks for it."""
_OURS = "ours"
"""Beginning of comments on values that are not from a paper."""


class Cited(NamedTuple):
    """A value of a paper's recipe."""

    value: Any
    comment: str


def paper_values() -> dict[tuple[str, str], Cited]:
    """The values by model and field, of the lines of the papers' recipes that have a comment."""
    found: dict[tuple[str, str], Cited] = {}
    for name in PAPERS:
        text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        assert isinstance(root, MappingNode)
        for model, field, node in _settings(Recipe, root):
            rest = text.splitlines()[node.end_mark.line][node.end_mark.column :].strip()
            comment = rest.lstrip("# ")
            if rest.startswith("#") and not comment.startswith(_OURS):
                found.setdefault((model.__name__, field), Cited(loader.construct_object(node, deep=True), comment))
    return found


def _settings(model: type[BaseModel], node: MappingNode) -> Iterator[tuple[type[BaseModel], str, Node]]:
    """Every setting that a recipe's text has: its model, its field, and the node of its value."""
    for key, value in node.value:
        if not (field := model.model_fields.get(key.value)):
            continue
        inner = field.annotation
        if (chosen := variants_of(field)) and isinstance(value, MappingNode):
            inner = chosen.members[next(each.value for name, each in value.value if name.value == chosen.by)]
        if isinstance(value, MappingNode) and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _settings(inner, value)
        else:
            yield model, key.value, value
