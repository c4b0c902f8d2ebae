"""Files of judgments, answers and tables in the formats of the benchmarks' own tools."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import UserError, one_line

_DECIMALS = 15
"""Of a number, as many as are read digit by digit."""
_SHOWN = 60
"""Characters of a question that are shown."""
Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Files:
    """What is scored again."""

    judgments: Path
    outputs: Path | None = None
    """The model's answers."""
    baseline: Path | None = None
    """Those of the baseline."""
    data: Path | None = None
    """Folder of the benchmark's own files."""

    def in_data(self, name: str) -> Path | None:
        """A file in the folder of the benchmark's files, if there is a folder.

        Raises:
            UserError: the folder lacks it.
        """
        if self.data and not (self.data / name).is_file():
            raise UserError(f"--data {self.data}: {name} is missing: give a folder that has it")
        return self.data and self.data / name


@dataclass(frozen=True)
class Rescored:
    """What stored judgments of a model's answers come to."""

    benchmark: str
    judge: str
    model: str
    baseline: str
    """Empty if the benchmark has none."""
    figures: Figures
    categories: Mapping[str, Figures] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What is to be said of them, a line each."""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file: a JSON list of them, or one a line.

    Raises:
        UserError: there is no such file, or it holds something else; names the line.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: there is no such file") from None
    return rows_in(content, str(path))


def rows_in(content: bytes, where: str) -> list[dict[str, Any]]:
    """The objects in a file's bytes.

    Raises:
        UserError: as `read_rows`.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8: {error}") from None
    if text.lstrip().startswith("["):
        rows = _json(text, where)
    else:
        lines = enumerate(text.split("\n"), start=1)  # JSON's texts may hold other line separators as they are
        rows = [_json(line, f"{where}: line {number}") for number, line in lines if line.strip()]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise UserError(f"{where}: entry {number} is no object with keys and values")
    if not rows:
        raise UserError(f"{where}: is empty")
    return list(rows)


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_float=_float)
    except ValueError as error:
        raise UserError(f"{where}: not JSON: {one_line(error)}") from None


def _float(text: str) -> float:
    """A number as pandas reads it, and the benchmarks' own tools by it: the last digits of scores depend on that."""
    whole, _, decimals = text.partition(".")
    if text.startswith("-") or len(decimals) > _DECIMALS or not decimals.isdecimal():
        return float(text)
    return float(whole) + float(decimals) * 10.0 ** -len(decimals)


def table_rows(content: bytes, where: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file.

    Raises:
        UserError: it lacks a column.
    """
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""))
    there = rows.fieldnames or ()
    if lacking := [name for name in columns if name not in there]:
        raise UserError(f"{where}: column {lacking[0]} is missing; there are {', '.join(there)}")
    return list(rows)


def value(row: Mapping[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """What a row says under a key.

    Raises:
        UserError: it lacks the key, or says something of another kind.
    """
    if key not in row:
        raise UserError(f"{where}: {key} is missing; there are {', '.join(row)}")
    if not isinstance(row[key], kind):
        raise UserError(f"{where}: {key} is {_short(row[key])}")
    return row[key]


def the_one(values: Iterable[Any], what: str, where: Path) -> str:
    """What all rows of a file agree on, such as the model.

    Raises:
        UserError: they do not.
    """
    found = sorted({str(each) for each in values})
    if len(found) > 1:
        named = ", ".join(found[:4])
        raise UserError(f"{where}: holds judgments of several {what}s ({named}): give those of one")
    return found[0]


def require_once(questions: Sequence[str], where: object, what: str = "question") -> None:
    """Refuse questions that stand in a file more than once.

    Raises:
        UserError: names the first.
    """
    if doubled := [each for each, times in Counter(questions).items() if times > 1]:
        raise UserError(
            f"{where}: {what}s that are there more than once: {len(doubled)}, the first: {_short(doubled[0])}"
        )


def require_all(questions: Sequence[str], wanted: Sequence[str], where: Path, source: Path) -> None:
    """Refuse a file that does not have exactly the questions wanted.

    Raises:
        UserError: names the first that is missing, or that is none of those wanted.
    """
    found, known = set(questions), set(wanted)
    if missing := [each for each in wanted if each not in found]:
        raise UserError(
            f"{where}: of the {len(wanted)} questions in {source}, it lacks {len(missing)}, the first: "
            f"{_short(missing[0])}"
        )
    if others := [each for each in questions if each not in known]:
        raise UserError(
            f"{where}: questions that {source} lacks: {len(others)}, the first: {_short(others[0])}; the two are of "
            "unlike versions of the benchmark, or one is not whole"
        )


def require_same(judged: Mapping[str, str], answers: Mapping[str, str], where: Path, source: Path) -> None:
    """Refuse judgments of other answers than those in a file, by question.

    Raises:
        UserError: names the first question.
    """
    if others := [question for question, answer in judged.items() if answer != answers[question]]:
        raise UserError(
            f"{where}: questions to which it judges another answer than {source} has: {len(others)}, the first: "
            f"{_short(others[0])}"
        )


def _short(said: Any) -> str:
    text = repr(one_line(said) if isinstance(said, str) else said)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
