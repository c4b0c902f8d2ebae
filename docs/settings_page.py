"""`docs/settings.md` and the shipped JSON schema, made from the models of a recipe.

`python -m docs.settings_page` writes both anew.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nashflow.pipelines.reference.paper import paper_values
from nashflow.pipelines.reference.schema import SHIPPED_SCHEMA, Schema, recipe_schema, schema_text

PAGE = Path(__file__).parent / "settings.md"
_HEAD = """\
<!-- `make docs` writes this page from the settings' classes: edit those. -->
# Settings

A recipe is a YAML file with the sections below. Set a key in the file, or with `--set section.key=value` for one run.
An unknown key is refused, and the message suggests the nearest known one. `extends: other` takes all keys that the
recipe does not set from another recipe; `${NAME}` in a text is replaced by the environment variable's value.

If a section has variants, a field such as `kind` selects one. `--set oracle.kind=reward_model`, or
`--set oracle=reward_model` for short, replaces the section by that variant: settings that both variants have are kept,
and one line lists the settings that were dropped and those that now have their defaults. When the method changes, the
step size and the KL weight are kept under the new method's names, so `--set method=egpo` plays the same game with the
same step size as the recipe of INPO.

The column *paper* gives the value and its source in the recipes that follow papers: `inpo-llama3-8b` and
`inpo-llama3-8b-rm` (arXiv 2407.00617; "Dong et al." is RLHF Workflow, arXiv 2405.07863), and the same of
iterative DPO, SPPO, ONPO, EGPO, MNPO and DNO.

`nashflow init` writes a recipe with every setting, and beside it a JSON schema, with which editors complete and check
every recipe that begins with the line `# yaml-language-server: $schema=nashflow.schema.json`. `nashflow schema` prints
this schema, including the variants of installed packages.
"""


class _Row(NamedTuple):
    """A setting, of all variants for which the same is to be said."""

    key: str
    type: str
    default: str
    meaning: str
    among: int = 0
    """The number of variants that there are; 0 where there is no choice."""


def render() -> str:
    """The page."""
    schema = recipe_schema()
    sections = [name for name in schema["properties"] if name != "extends"]
    return "\n".join([_HEAD, *(_Section(schema, name).render() for name in sections)])


class _Section:
    """A section of a recipe."""

    def __init__(self, schema: Schema, name: str) -> None:
        self.models: dict[str, Schema] = schema["$defs"]
        self.name, self.field = name, schema["properties"][name]
        self.required = schema["else"]["properties"].get(name, {}).get("required", [])
        """What only a recipe that extends another one may leave out."""
        self.cited = paper_values()
        self.rows: dict[_Row, dict[str, str]] = {}
        """What the papers have, by variant."""

    def render(self) -> str:
        """Its heading, its variants, and a row for each setting."""
        models = self._variants(self.field)
        lines = [f"- `{_tag(model)}`: {model['description']}" for model in models]
        if models:
            lines = [f"`{self.name}.{_tag_field(models[0])}` is one of", "", *lines]
        else:
            models = [self._model(self.field)]
            lines = [models[0]["description"]]
        for model in models:
            self._add(model, "", _tag(model) if len(models) > 1 else "", len(models) if len(models) > 1 else 0)
        return "\n".join([f"## `{self.name}`", "", *lines, "", self._table(), ""])

    def _table(self) -> str:
        headings = ["setting", "of", "type", "default", "meaning", "paper"]
        rows = [
            [
                f"`{row.key}`",
                "" if len(papers) >= row.among else ", ".join(f"`{of}`" for of in papers),
                *row[1:4],
                "; ".join(
                    (f"{of}: " if row.among > 1 and len(papers) > 1 else "") + text
                    for of, text in papers.items()
                    if text
                ),
            ]
            for row, papers in self.rows.items()
        ]
        shown = [at for at in range(len(headings)) if any(row[at] for row in rows)]
        return _table([[line[at] for at in shown] for line in (headings, *rows)])

    def _add(self, model: Schema, prefix: str, of: str, among: int) -> None:
        """The settings of a model and of those below it; what tells variants apart is said in the list of them."""
        required = [*model.get("required", ()), *(self.required if not prefix else ())]
        for name, field in model["properties"].items():
            if among and field.get("const") == of:
                continue
            variants, (below, suffix) = self._variants(field), self._below(field)
            if "description" in field or not below:
                default = "required" if name in required else _default(field)
                row = _Row(f"{prefix}{name}", self._type(field), default, field.get("description", ""), among)
                self.rows.setdefault(row, {})[of] = self._paper(model, name)
            for inner in variants:
                self._add(inner, f"{prefix}{name}.", _tag(inner), len(variants))
            for inner in below:
                self._add(inner, f"{prefix}{name}{suffix}.", of, among)

    def _paper(self, model: Schema, name: str) -> str:
        cited = self.cited.get((model["title"], name))
        return f"`{json.dumps(cited.value, ensure_ascii=False)}`, {cited.comment}" if cited else ""

    def _variants(self, field: Schema) -> list[Schema]:
        """The variants that a field takes, several or one; the bare names of some stand beside them."""
        places = field.get("anyOf", [field])
        several = [each for inner in places for each in inner.get("oneOf", ())]
        one = [inner for inner in places if "$ref" in inner] if any("enum" in inner for inner in places) else []
        return [self._model(each) for each in several or one]

    def _below(self, field: Schema) -> tuple[list[Schema], str]:
        """The model that a field holds, if it does, and what stands in a key for one of several."""
        if self._variants(field):
            return [], ""
        places = [(field, ""), (field.get("items"), "[]"), (field.get("additionalProperties"), ".NAME")]
        places += [(each, "") for each in field.get("anyOf", ())]
        found = ((inner, suffix) for inner, suffix in places if isinstance(inner, dict) and "$ref" in inner)
        inner, suffix = next(found, ({}, ""))
        return ([self._model(inner)], suffix) if inner else ([], "")

    def _model(self, reference: Schema) -> Schema:
        return self.models[reference["$ref"].rpartition("/")[2]]

    def _type(self, field: Schema) -> str:
        if variants := self._variants(field):
            return " or ".join(f"`{_tag(variant)}`" for variant in variants)
        if "anyOf" in field:
            return " or ".join(self._type(each) for each in field["anyOf"])
        if values := field.get("enum", [field["const"]] if "const" in field else []):
            return ", ".join(f"`{value or json.dumps(value)}`" for value in values)
        match field.get("type"):
            case None:
                return "section"
            case "array":
                return f"list of {self._type(field['items'])}"
            case "object":
                names = field.get("propertyNames", {}).get("enum", [])
                return "mapping" + (f" by {', '.join(f'`{name}`' for name in names)}" if names else "")
            case kind:
                word = {"null": "unset", "string": "text"}.get(kind, str(kind))
                return f"{word} {_limits(field)}".strip()


def _tag(model: Schema) -> str:
    """The value that tells a variant from others."""
    return str(model["properties"][_tag_field(model)]["const"])


def _tag_field(model: Schema) -> str:
    properties: dict[str, Schema] = model["properties"]
    return next(name for name, field in properties.items() if "const" in field)


def _limits(field: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {field[key]:.12g}" for key, sign in signs.items() if key in field)


def _default(field: Schema) -> str:
    value: Any = field.get("default", "")
    return "" if value in ("", [], {}) else "unset" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def _table(lines: Sequence[Sequence[str]]) -> str:
    lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    SHIPPED_SCHEMA.write_text(schema_text(), encoding="utf-8")
