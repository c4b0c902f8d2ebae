"""Write what the chart copies from elsewhere anew: `python readme.py`.

That is the table of values in README.md, from the comments in values.yaml, and recipes.txt, the names of the shipped
recipes.

A comment that begins with `# --` says what the key below it is; further comment lines go on with it. A mapping whose
keys are not described is a section, whose keys are; any other value is shown as the default.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CHART = Path(__file__).parent
RECIPES = CHART.parents[1] / "pipelines" / "recipes"
BEGIN, END = "<!-- values -->\n", "<!-- end of values -->\n"


class Value(NamedTuple):
    """One row of the table."""

    key: str
    default: Any
    text: str


def described(source: str) -> dict[str, str]:
    """Texts of the described keys, by dotted key, in the order of the file."""
    texts: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    comment: list[str] | None = None
    for line in source.splitlines():
        if match := re.match(r"\s*# -- (.*)", line):
            comment = [match[1]]
        elif comment is not None and (match := re.match(r"\s*# (.*)", line)):
            comment.append(match[1])
        elif match := re.match(r"( *)([\w-]+):", line):
            indent = len(match[1])
            path = [(depth, key) for depth, key in path if depth < indent] + [(indent, match[2])]
            if comment is not None:
                texts[".".join(key for _, key in path)] = " ".join(comment)
            comment = None
    return texts


def values(source: str) -> Iterator[Value]:
    """The rows: every described key with its default."""
    defaults = yaml.safe_load(source)
    for key, text in described(source).items():
        default = defaults
        for part in key.split("."):
            default = default[part]
        yield Value(key, default, text)


def table(source: str) -> str:
    """The rows as a Markdown table."""
    rows = ["| Key | Default | What it is |", "| --- | --- | --- |"]
    for key, default, text in values(source):
        shown = json.dumps(default, ensure_ascii=False).replace("|", "\\|")
        rows.append(f"| `{key}` | `{shown}` | {text.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def readme(old: str, source: str) -> str:
    """A README whose table is that of the values."""
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table(source)}{END}{after}"


def recipes() -> str:
    """The names of the shipped recipes, one a line."""
    return "".join(f"{name}\n" for name in sorted(path.stem for path in RECIPES.glob("*.yaml")))


if __name__ == "__main__":
    (CHART / "recipes.txt").write_text(recipes())
    page = CHART / "README.md"
    page.write_text(readme(page.read_text(), (CHART / "values.yaml").read_text()))
