"""What the docstring of a method's file says, by its fixed keys."""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nashflow.components.core.errors import one_line

_REQUIRED = ("Game", "Loss", "Assumes", "Guarantee")
_CONSTANTS = ("η", "λ", "β", "τ")
_TITLE = re.compile(r"(?P<name>[^:(]+?)(?:: (?P<long>.+?))? \((?P<source>.*arXiv.*)\)\.")
_ENTRY = re.compile(r"(?P<key>\S+) {2,}(?P<text>\S.*)")


class Description(NamedTuple):
    """What a method's docstring says."""

    name: str
    """As people call it."""
    long: str
    """What the name stands for, if anything."""
    source: str
    """Paper, and equation where it names one."""
    entries: Mapping[str, str]
    """Text by key: Game, Update, Loss, …"""
    notes: Sequence[str]
    """Paragraphs after the entries."""


def describe(docstring: str, where: str) -> Description:
    """The parts of a method's docstring: a title line, the entries `Key  text`, and further paragraphs.

    Raises:
        ValueError: says `where` and what is missing: the paper, a key, or the meaning of η or of what is in its place.
    """
    title, _, rest = inspect.cleandoc(docstring).partition("\n\n")
    matched = _TITLE.fullmatch(one_line(title))
    if not matched:
        raise ValueError(f"{where}: the docstring's first line is not `NAME: what it is (paper, arXiv number).`")
    listed, *notes = rest.split("\n\n")
    entries = _entries(listed.splitlines(), where)
    if missing := [required for required in _REQUIRED if required not in entries]:
        raise ValueError(f"{where}: the docstring lacks {', '.join(missing)}")
    if not any(constant in entries for constant in _CONSTANTS):
        raise ValueError(f"{where}: the docstring says of none of {', '.join(_CONSTANTS)} what it means")
    name, long, source = matched["name"], matched["long"] or "", matched["source"]
    return Description(name, long, source, entries, [one_line(note) for note in notes])


def _entries(lines: Sequence[str], where: str) -> dict[str, str]:
    """The text by key; lines that start with a space go on with the entry above."""
    entries: dict[str, str] = {}
    key = ""
    for line in lines:
        if entry := _ENTRY.fullmatch(line):
            key = entry["key"]
            entries[key] = entry["text"]
        elif key and line.startswith(" "):
            entries[key] += f" {line.strip()}"
        else:
            raise ValueError(f"{where}: the docstring's line {line!r} has no key")
    return entries
