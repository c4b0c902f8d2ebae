"""Conditions of tasks: the expressions that `dsl.If` compiles to."""

import re
from typing import Any

from .upstream import DriverError

_INPUT = re.compile(r"inputs\.parameter_values\['([^']+)'\]")
_WORDS = {"&&": " and ", "||": " or ", "!(": " not (", "true": "True", "false": "False"}


def holds(expression: str, parameters: dict[str, Any]) -> bool:
    """Whether a task is to run.

    Raises:
        DriverError: an expression that names what is not there.
    """
    parts = re.split(r"('[^']*'|\"[^\"]*\")", _INPUT.sub(lambda found: f"inputs[{found[1]!r}]", expression))
    for number in range(0, len(parts), 2):
        for theirs, ours in _WORDS.items():
            parts[number] = parts[number].replace(theirs, ours)
    names = {"inputs": parameters, "int": int, "double": float, "string": str, "bool": bool, "__builtins__": {}}
    try:
        return bool(eval("".join(parts), names))
    except (KeyError, ValueError, TypeError) as error:
        raise DriverError(f"evaluate condition {expression!r}: no such key: {error}") from error
