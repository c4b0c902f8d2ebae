"""Annotations of AlpacaEval 2, as `annotations.json` has them, scored again."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from ...core.errors import UserError
from ..stored import Figures, Files, Rescored, read_rows, require_all, require_once, require_same, the_one, value
from .length_control import BASELINE, length_controlled
from .scores import Preference, is_preference, win_rates
from .tables import DIFFICULTY, GAMED, read_tables

NAME, BASELINE_FILE = "alpaca_eval", "baseline_outputs.json"
_VERSION_1 = "text_davinci_003"
"""The baseline of version 1."""


class Annotation(NamedTuple):
    """A judge's preference between two answers."""

    instruction: str
    category: str
    baseline_answer: str
    answer: str
    preference: Preference


def rescore(files: Files) -> Rescored:
    """Win rates by annotations, and the length-controlled one if the folder of data has its tables.

    Raises:
        UserError: says what is wrong with which file.
    """
    rows = read_rows(files.judgments)
    annotations = [_annotation(row, f"{files.judgments}: entry {number}") for number, row in enumerate(rows, start=1)]
    instructions = [each.instruction for each in annotations]
    require_once(instructions, files.judgments, "instruction")
    judge, model, baseline = (
        the_one((row.get(key, "") for row in rows), what, files.judgments)
        for key, what in (("annotator", "annotator"), ("generator_2", "model"), ("generator_1", "baseline"))
    )
    if files.outputs:
        _require_answers(files.outputs, {each.instruction: each.answer for each in annotations}, files.judgments)
    if files.baseline:
        _require_answers(
            files.baseline, {each.instruction: each.baseline_answer for each in annotations}, files.judgments
        )
    elif baseline == _VERSION_1:
        raise UserError(
            f"{files.judgments}: the baseline is {baseline}: these are annotations of version 1 of the benchmark; if "
            "that is meant, give the baseline's answers by --baseline"
        )
    if source := _in_order(files):
        known = [value(row, "instruction", str, str(source)) for row in read_rows(source)]
        require_all(instructions, known, files.judgments, source)
        instructions = known
    controlled, notes = _controlled(files, instructions, annotations, is_baseline=model == baseline)
    figures = {**asdict(win_rates([each.preference for each in annotations])), **_lengths(annotations), **controlled}
    return Rescored(NAME, judge, model, baseline, figures, _by_category(annotations), notes)


def _annotation(row: Mapping[str, Any], where: str) -> Annotation:
    preference = row.get("preference")
    if preference is not None and (isinstance(preference, bool) or not isinstance(preference, int | float)):
        raise UserError(f"{where}: preference is {preference!r}: a number from 1 to 2 is wanted, or null")
    if "games" in row or "score" in row:
        raise UserError(f"{where}: is no annotation of AlpacaEval: name the benchmark that judged it")
    instruction = value(row, "instruction", str, where)
    baseline, answer = (value(row, key, (str, NoneType), where) or "" for key in ("output_1", "output_2"))
    return Annotation(instruction, str(row.get("dataset") or ""), baseline, answer, preference)


def _in_order(files: Files) -> Path | None:
    """The file that has the instructions in the benchmark's order: the baseline's answers."""
    stored = files.data / BASELINE_FILE if files.data else None
    return files.baseline or (stored if stored and stored.is_file() else None)


def _require_answers(path: Path, judged: Mapping[str, str], judgments: Path) -> None:
    """Refuse annotations of other answers than those in a file."""
    rows = [(row, f"{path}: entry {number}") for number, row in enumerate(read_rows(path), start=1)]
    instructions = [value(row, "instruction", str, where) for row, where in rows]
    require_once(instructions, path, "instruction")
    answers = dict(zip(instructions, (value(row, "output", str, where) for row, where in rows), strict=True))
    if missing := [instruction for instruction in judged if instruction not in answers]:
        raise UserError(
            f"{path}: judged instructions that it has no answer to: {len(missing)}, such as {missing[0][:60]!r}"
        )
    require_all(list(judged), list(answers), judgments, path)
    require_same(judged, answers, judgments, path)


def _controlled(
    files: Files, instructions: Sequence[str], annotations: Sequence[Annotation], *, is_baseline: bool
) -> tuple[Figures, tuple[str, ...]]:
    """The length-controlled win rate, and what is to be said of it."""
    if is_baseline:
        return asdict(BASELINE), ()
    if files.data is None:
        return {}, ("no length-controlled win rate: there is no --data",)
    folder = files.data
    there = {name: (folder / name).read_bytes() for name in (GAMED, DIFFICULTY) if (folder / name).is_file()}
    if GAMED not in there:
        return {}, (f"no length-controlled win rate: --data {folder} lacks {GAMED}",)
    tables = read_tables(there, str(folder))
    if len(tables.difficulties) != len(instructions):
        raise UserError(
            f"--data {files.data}: the tables of length control are about {len(tables.difficulties)} instructions, and "
            f"there are {len(instructions)}: give the tables of these"
        )
    difficulty = dict(zip(instructions, tables.difficulties, strict=True))
    result = length_controlled(
        [each.preference for each in annotations],
        [len(each.baseline_answer) for each in annotations],
        [len(each.answer) for each in annotations],
        [difficulty[each.instruction] for each in annotations],
        tables.gamed,
    )
    return asdict(result), ()


def _lengths(annotations: Sequence[Annotation]) -> Figures:
    """Mean lengths in characters; the leaderboard's `avg_length` is rounded down."""
    ours, theirs = (
        sum(len(text) for text in texts) / len(annotations)
        for texts in ([each.answer for each in annotations], [each.baseline_answer for each in annotations])
    )
    return {"avg_length": int(ours), "avg_length_baseline": int(theirs)}


def _by_category(annotations: Sequence[Annotation]) -> dict[str, Figures]:
    """The win rates of each part of the benchmark with a preference."""
    parts: dict[str, list[Preference]] = defaultdict(list)
    for each in annotations:
        parts[each.category].append(each.preference)
    return {
        name: asdict(win_rates(values)) for name, values in sorted(parts.items()) if any(map(is_preference, values))
    }
