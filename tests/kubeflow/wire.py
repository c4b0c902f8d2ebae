"""JSON as KFP's backend writes it: protobuf messages in the order of their fields, everything else by sorted keys."""

import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def compact(value: Any, sort: bool = False) -> str:
    """Go's encoding/json: no spaces, HTML's characters escaped."""
    text = json.dumps(_numbers(value), ensure_ascii=False, separators=(",", ":"), sort_keys=sort)
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def stable(value: Any) -> str:
    """What the compiler makes of a message: encoding/json of a map, whose keys Go sorts."""
    return compact(value, sort=True)


def message(value: Any, model: type[Message]) -> str:
    """protojson of a message given as a dict: fields in their order, maps by sorted keys, a space after each comma."""
    parsed = json_format.ParseDict(value, model())
    return json.dumps(_numbers(_ordered(parsed)), ensure_ascii=False, separators=(", ", ":"))


def normal(value: Any, model: type[Message]) -> Any:
    """A message as a dict without what has its default."""
    return json_format.MessageToDict(json_format.ParseDict(value, model()))


def _ordered(parsed: Message) -> Any:
    """A message as a dict in the order of its fields."""
    if parsed.DESCRIPTOR.file.name.startswith("google/protobuf/"):
        return _sorted(json_format.MessageToDict(parsed))
    plain = json_format.MessageToDict(parsed)
    made = {}
    for field, value in parsed.ListFields():
        name = field.json_name
        if field.message_type is None:
            made[name] = plain[name]
        elif field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"].message_type
            made[name] = {key: _ordered(value[key]) if inner else value[key] for key in sorted(value)}
        elif field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED:
            made[name] = [_ordered(item) for item in value]
        else:
            made[name] = _ordered(value)
    return made


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _numbers(value: Any) -> Any:
    """Go writes 2.0 as 2."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
