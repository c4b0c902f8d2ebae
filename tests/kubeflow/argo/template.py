"""`{{…}}` in a template, as Argo replaces it: in the template's JSON, where a lone brace reaches its neighbours."""

import json
from typing import Any

from ..wire import compact

_ROOTS = ("item.", "steps.", "inputs.", "outputs.", "pod.", "workflow.", "tasks.")
_LATE = ("outputs.", "workflow.creationTimestamp", "workflow.scheduledTime", "workflow.duration", "tasks.name")


class TemplateError(Exception):
    """A template that Argo refuses."""


def substitute(template: Any, values: dict[str, str]) -> Any:
    """A template with what is known put in; unknown tags stay as they are.

    Raises:
        TemplateError: braces that do not close.
    """
    made = "".join(part if literal else _replaced(part, values) for literal, part in _parts(compact(template)))
    try:
        return json.loads(made)
    except ValueError as error:
        raise TemplateError("cannot finish template replacement because the result was invalid JSON") from error


def process(template: dict[str, Any], arguments: dict[str, str], values: dict[str, str]) -> dict[str, Any]:
    """A template with its inputs: first the workflow's values, then the inputs, in which those may stand.

    Raises:
        TemplateError: an input without a value.
    """
    given = json.loads(compact(template))
    for parameter in given.get("inputs", {}).get("parameters", ()):
        if parameter["name"] in arguments:
            parameter["value"] = arguments[parameter["name"]]
        elif "default" in parameter:
            parameter["value"] = parameter["default"]
        else:
            raise TemplateError(f"inputs.parameters.{parameter['name']} was not supplied")
    given = substitute(given, values)
    known = dict(values)
    for parameter in given.get("inputs", {}).get("parameters", ()):
        known[f"inputs.parameters.{parameter['name']}"] = parameter["value"]
    for parameter in given.get("outputs", {}).get("parameters", ()):
        known[f"outputs.parameters.{parameter['name']}.path"] = parameter["valueFrom"]["path"]
    return substitute(given, known)  # type: ignore[no-any-return]


def check(template: dict[str, Any], known: set[str]) -> None:
    """What Argo refuses of a template when a workflow is made.

    Raises:
        TemplateError: a tag that looks like one of Argo's variables, and is none.
    """
    for literal, part in _parts(compact(template)):
        tag = part.strip()
        if not literal and tag.startswith(_ROOTS) and tag not in known and not tag.startswith(_LATE):
            raise TemplateError(f"failed to resolve {{{{{part}}}}}")


def _parts(text: str) -> list[tuple[bool, str]]:
    """Text between tags, and what is in them, in turn."""
    parts = []
    while True:
        before, opening, rest = text.partition("{{")
        parts.append((True, before))
        if not opening:
            return parts
        tag, closing, text = rest.partition("}}")
        if not closing:
            raise TemplateError(f'Cannot find end tag="}}}}" in the template="{rest[:40]}"')
        parts.append((False, tag))


def _replaced(tag: str, values: dict[str, str]) -> str:
    if tag.startswith("="):
        # An expression is evaluated. What comes out is no matter: it is not what was written.
        return "<the value of an expression>"
    name = tag.strip()
    if name in values:
        return _quoted(values[name])
    outer, opening, inner = tag.rpartition("{{")
    if opening and outer and inner in values:
        return "{{" + outer + _quoted(values[inner])
    return "{{" + tag + "}}"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
