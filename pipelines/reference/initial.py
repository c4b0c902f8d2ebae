"""`nashflow init`: a recipe to start from, each setting under its meaning, and commented out where it is a default."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from nashflow.components.core.atomic_file import create, replacing
from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import variants_of
from nashflow.components.models.folders import check_model_folder, require_chat_template

from ..recipe import SHIPPED, Recipe
from .schema import FILE, schema_text

_PROMPTS = Path(__file__).parent / "prompts.jsonl"
_WIDTH = 116
_SANDBOX = "INPO on the sandbox world: no model, no GPU, two minutes on two cores."
_FOLDER = (
    "INPO on your model, small enough to try it out. The model is its own judge and there are only a few prompts, so "
    "the run shows that everything works but learns little. Set oracle.model to a preference model, or to a reward "
    "model with oracle.kind: reward_model, and prompts.path to your prompts. The recipe inpo-llama3-8b has the paper's "
    "values."
)
_LEGEND = "Lines that begin with #~ are settings at their defaults. `nashflow run` ignores the section cluster."


def write_recipe(path: Path, model: Path | None) -> list[Path]:
    """Write a recipe for the sandbox or for a model folder, and what it needs beside it; the files that are new.

    Raises:
        UserError: there is such a file, no folder for it, or `model` is no model folder with a chat template.
    """
    if path.exists():
        raise _taken(path)
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}: make it first")
    made = []
    name = re.sub("[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:63].strip("-") or "recipe"
    if model:
        check_model_folder(model)
        require_chat_template(model)
        prompts = path.with_name(_PROMPTS.name)
        text = recipe_text(_FOLDER, _for_folder(name, str(model.resolve()), str(prompts)))
        if create(prompts, _PROMPTS.read_bytes()):
            made.append(prompts)
    else:
        text = recipe_text(_SANDBOX, _for_sandbox(name))
    with replacing(path.with_name(FILE)) as file:
        file.write(schema_text().encode())
    if not create(path, text.encode()):
        raise _taken(path)
    return [path, *made, path.with_name(FILE)]


def _taken(path: Path) -> UserError:
    names = (path.with_name(f"{path.stem}-{number}.yaml") for number in range(2, 10_000))
    free = next(name for name in names if not name.exists())
    return UserError(f"{path} already exists and was not changed: give another name, such as {free}")


def _for_sandbox(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((SHIPPED / "quickstart.yaml").read_text(encoding="utf-8"))
    return data | {"run": {**data["run"], "name": name}}


def _for_folder(name: str, model: str, prompts: str) -> dict[str, Any]:
    return {
        "run": {"name": name, "iterations": 2},
        "method": {"name": "inpo", "eta": 0.005, "tau": 0.00167, "samples": 4, "comparisons": "bracket"},
        "policy": {"kind": "folder", "model": model},
        "prompts": {"path": prompts, "field": "prompt", "per_iteration": 16, "held_out": 8},
        "oracle": {"kind": "pair_preference", "model": model},
        "rollout": {"max_new_tokens": 64},
        "judging": {},
        "logprobs": {},
        "training": {"learning_rate": 5e-7, "epochs": 2, "batch_size": 16},
        "evaluation": {"benchmarks": ["head_to_head", "kl"]},
        "cluster": {"profile": "cpu"},
    }


def recipe_text(title: str, data: Mapping[str, Any]) -> str:
    """A recipe as YAML: each setting of its sections under its meaning."""
    lines = [f"# yaml-language-server: $schema={FILE}", *_comment(title), *_comment(_LEGEND)]
    for section, values in data.items():
        lines += ["", f"{section}:" if values else f"#~ {section}:"]
        lines += _section(Recipe.model_fields[section], values, "  ")
    return "\n".join(lines) + "\n"


def _section(field: FieldInfo, values: Mapping[str, Any], indent: str) -> Iterator[str]:
    model = field.annotation
    if chosen := variants_of(field):
        model = chosen.members[values[chosen.by]]
        others = [name for name in chosen.members if name != values[chosen.by]]
        yield from _comment(f"{_first(model.__doc__)} Others: {', '.join(others)}.", indent)
        yield f"{indent}{chosen.by}: {values[chosen.by]}"
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    fields = {name: each for name, each in model.model_fields.items() if not (chosen and name == chosen.by)}
    for name in sorted(fields, key=lambda name: name not in values):
        yield from _comment(_first(fields[name].description), indent)
        if name in values:
            yield f"{indent}{name}: {_yaml(values[name])}"
        else:
            default = fields[name].get_default(call_default_factory=True)
            yield f"{indent}#~ {name}: {_yaml(to_jsonable_python(default))}"


def _first(text: str | None) -> str:
    """The first sentence."""
    return f"{' '.join((text or '').split()).split('. ')[0].rstrip('.')}."


def _comment(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _yaml(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return yaml.safe_dump(value, allow_unicode=True, width=10_000).removesuffix("\n").removesuffix("\n...")
