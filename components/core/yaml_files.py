"""YAML as users write it: read strictly, since a key that stands twice would silently drop what it says first."""

from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, ScalarNode

from .errors import UserError, one_line


def read_yaml(path: Path, name: str) -> Any:
    """The value in a YAML file in UTF-8; messages call it `name`.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it cannot be read, is not YAML, or has a key twice in one mapping; says in which lines.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: cannot be read: {error}") from None
    try:
        return load_yaml(text)
    except ValueError as error:
        raise UserError(f"{name}: not YAML: {error}") from None


def load_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: it is not YAML, or a key stands twice in one mapping; says in which line.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ValueError(f"line {mark.line + 1}: {error.problem}" if mark else one_line(error)) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(one_line(error)) from None


class _Loader(yaml.SafeLoader):
    """YAML's plain values, and no key twice."""

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node: MappingNode = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], ScalarNode] = {}
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and (first := seen.setdefault((key.tag, key.value), key)) is not key:
                problem = f"the key {key.value!r} stands in line {first.start_mark.line + 1} already; keep one of them"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        return node
