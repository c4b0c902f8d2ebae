"""Settings given as texts such as `training.learning_rate=1e-6`, set in the data that a model is validated from.

One that names another variant, `method.name=egpo` or `method=egpo` for short, replaces the section by it. Such
ones are done first, wherever they stand, so that all others are settings of the new variant.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .errors import UserError
from .replacement import Replacement, replace
from .settings import models_of, variants_of
from .variants import Variants
from .yaml_files import load_yaml

Data = dict[str, Any]


def override(data: Data, settings: Sequence[str], model: type[BaseModel]) -> list[str]:
    """Set values, each given as JSON or YAML, in the data of a model; a line on each section that was replaced.

    Raises:
        UserError: a text is no such setting; names it.
    """
    read = [_read(text, model) for text in settings]
    replaced = [_replace(data, each) for each in read if each.names_variant]
    for each in read:
        if not each.names_variant:
            _section(data, each)[each.keys[-1]] = each.value
    return [line for each in replaced if each and (line := each.line())]


class _Setting(NamedTuple):
    text: str
    keys: Sequence[str]
    choices: Sequence[Variants[BaseModel] | None]
    """The variants that the field at each key takes."""
    defaults: Sequence[Any]
    value: Any

    @property
    def names_variant(self) -> bool:
        """Whether the last key is the one that tells the variants of its section apart."""
        chosen = self.choices[-2]
        return chosen is not None and self.keys[-1] == chosen.by


def _read(text: str, model: type[BaseModel]) -> _Setting:
    key, equals, written = text.partition("=")
    keys = key.strip().split(".")
    value = _value(text, written)
    fields = _fields(model, keys)
    choices = [next(filter(None, map(variants_of, there)), None) for there in fields]
    defaults = [next((field.default for field in there), None) for there in fields]
    if (chosen := choices[-1]) and isinstance(value, str):
        keys, choices, defaults = [*keys, chosen.by], [*choices, None], [*defaults, None]
    if not equals or len(keys) < 2 or not keys[-1]:
        raise UserError(f"--set {text}: give section.key=value, such as training.learning_rate=1e-6")
    return _Setting(text, keys, choices, defaults, value)


def _fields(model: type[BaseModel], keys: Sequence[str]) -> list[list[FieldInfo]]:
    """The fields that each key may name: one, or those of several variants."""
    models, found = [model], []
    for key in keys:
        found.append([each.model_fields[key] for each in models if key in each.model_fields])
        models = [inner for field in found[-1] for inner in models_of(field)]
    return found


def _section(data: Data, setting: _Setting) -> Data:
    """The section that a setting is in, made where it is missing."""
    place = data
    for key, chosen, default in zip(setting.keys[:-1], setting.choices, setting.defaults, strict=False):
        found = place.get(key)
        if found is None:
            is_default = chosen and isinstance(default, BaseModel) and not setting.names_variant
            found = {chosen.by: getattr(default, chosen.by)} if chosen and is_default else {}
        elif chosen and isinstance(found, str):
            found = {chosen.by: found}  # for which the bare name is short
        if not isinstance(found, dict):
            raise UserError(f"--set {setting.text}: {key} is a value, not a section")
        place[key] = place = found
    return place


def _replace(data: Data, setting: _Setting) -> Replacement | None:
    chosen, section = setting.choices[-2], _section(data, setting)
    assert chosen is not None
    before, after = str(section.get(chosen.by)), str(setting.value)
    section[chosen.by] = setting.value
    if before == after or not {before, after} <= chosen.members.keys():
        return None
    return replace(section, ".".join(setting.keys[:-1]), chosen, before)


def _value(setting: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except ValueError:
        pass
    try:
        return load_yaml(text)
    except ValueError as error:
        raise UserError(f"--set {setting}: {text!r} is not a YAML value: {error}") from None


def _once(pairs: Sequence[tuple[str, Any]]) -> Data:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
