"""The JSON schema of a recipe, made from the models: editors complete and check recipes by it."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from nashflow.components.core.errors import one_line

from ..recipe import SHIPPED, WHOLES, Recipe
from .paper import paper_values

FILE = "nashflow.schema.json"
SHIPPED_SCHEMA = SHIPPED / FILE
"""The schema of this package's own variants; `recipe_schema` has those of installed packages too."""

Schema = dict[str, Any]
_VARIABLE = r"\$\{\w+\}"
_EXTENDS = {
    "type": "string",
    "description": "Another recipe, a file beside this one or a shipped one's name, that gives what is not said here.",
}


def schema_text() -> str:
    """The schema as a file's content."""
    return json.dumps(recipe_schema(), indent=1, ensure_ascii=False) + "\n"


def recipe_schema() -> Schema:
    """The schema (draft 7) of a recipe's file: every key, its type, default and meaning, and its value in a paper."""
    schema = Recipe.model_json_schema(schema_generator=_Untitled)
    # Their own order is that in which a process has built the models.
    models: dict[str, Schema] = dict(sorted(schema["$defs"].items()))
    schema["$defs"] = models
    for model in (schema, *models.values()):
        _make_readable(model, models)
    for union in _unions(schema):
        tag = union.pop("discriminator")["propertyName"]
        for member in union["oneOf"]:
            _require(_pointed(member, models), tag)
    for (name, field), cited in paper_values().items():
        models[name]["properties"][field]["examples"] = [cited.value]
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "NashFlow recipe"}
    return head | {key: value for key, value in _extensible(schema).items() if key != "title"}


class _Untitled(GenerateJsonSchema):
    """In the models' own order, and without titles of fields, which would be their names again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        """As it is."""
        return value


def _make_readable(model: Schema, models: dict[str, Schema]) -> None:
    """Texts on one line; a variable wherever a text has a pattern; no defaults of whole sections."""
    for each in (model, *model.get("properties", {}).values()):
        if "description" in each:
            each["description"] = one_line(each["description"])
        if "pattern" in each:
            each["pattern"] = f"{each['pattern']}|{_VARIABLE}"
        if isinstance(each.get("default"), dict) and "$ref" in each and "properties" in _pointed(each, models):
            del each["default"]


def _pointed(reference: Schema, models: dict[str, Schema]) -> Schema:
    return models[reference["$ref"].rpartition("/")[2]]


def _unions(node: Any) -> Iterator[Schema]:
    """Every choice between variants."""
    if isinstance(node, dict):
        if "oneOf" in node and "discriminator" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from _unions(inner)


def _require(model: Schema, name: str) -> None:
    model["required"] = [name, *(each for each in model.get("required", ()) if each != name)]


def _extensible(schema: Schema) -> Schema:
    """A recipe that extends another one need not say what that one does."""
    sections = {
        name: _pointed(field, schema["$defs"]) for name, field in schema["properties"].items() if "$ref" in field
    }
    mergeable = {name: model for name, model in sections.items() if name not in WHOLES and model.get("required")}
    needed = {name: {"required": model.pop("required")} for name, model in mergeable.items()}
    whole = {"required": schema.pop("required"), "properties": needed}
    schema["properties"] = {"extends": _EXTENDS, **schema["properties"]}
    return schema | {"if": {"required": ["extends"]}, "else": whole}
