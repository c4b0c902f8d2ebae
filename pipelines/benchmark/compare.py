"""`nashflow benchmark compare`: two models that `nashflow benchmark run` has measured, question by question."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nashflow.components.benchmarks.questions import Answer, Answered, Question, with_judgments
from nashflow.components.benchmarks.shares import Shares, difference
from nashflow.components.core.errors import UserError
from nashflow.components.reports.benchmarks.tables import show_gain
from nashflow.components.reports.plain import plain
from nashflow.components.reports.table import show
from nashflow.components.storage.store import Store, open_store

from ..plain_table import print_table
from ..terminal import terminal
from .kinds import question_benchmark
from .run import ANSWERS, JUDGED, SCORES


@dataclass(frozen=True)
class _Side:
    """What a folder of `nashflow benchmark run` says."""

    place: str
    record: Mapping[str, Any]
    shares: Mapping[str, Shares]

    @property
    def measured(self) -> tuple[Any, ...]:
        """What has to be the same of two that compare: the benchmark, its questions, its judge."""
        record = self.record
        judges = [each["signature"] for each in record["judges"]]
        return record["benchmark"], record["version"], judges, record["inputs"].get("questions")


def compare_folders(one: str, other: str, as_json: bool) -> None:
    """Print by how much the first model's figures are greater, with intervals that are paired by question.

    Raises:
        UserError: a folder is none of `nashflow benchmark run`; the two were not measured alike, or not by questions.
    """
    first, second = _read(one), _read(other)
    for what, mine, its in zip(
        ("benchmark", "version", "judge", "questions"), first.measured, second.measured, strict=True
    ):
        if mine != its:
            raise UserError(f"{one} and {other} were not measured alike: {what} {mine} and {its}")
    found = {
        name: difference(first.shares[name], second.shares[name]) for name in first.shares if name in second.shares
    }
    figures = {figure.name: figure for figure in question_benchmark(_kind(first.record)).scored}
    values = [{name: _value(each.record, name) for name in found} for each in (first, second)]
    if as_json:
        names = {"benchmark": first.record["benchmark"], "judges": first.record["judges"], "models": [one, other]}
        rows = {name: {"values": [each[name] for each in values], "difference": plain(found[name])} for name in found}
        print(json.dumps({**names, "figures": rows}, ensure_ascii=False, indent=1))
        return
    shown = [
        (name, *(show(each[name], figures[name].digits) for each in values), show_gain(figures[name], found[name]))
        for name in figures
        if name in found
    ]
    judge = ", ".join(each["name"] for each in first.record["judges"])
    title = f"{first.record['benchmark']}{f', judged by {judge}' if judge else ''}"
    print_table(terminal(), title, ("", one, other, "the first is greater by [95 %]"), shown)


def _read(place: str) -> _Side:
    store = open_store(place)
    try:
        record = json.loads(store.read(SCORES))
        benchmark = question_benchmark(_kind(record))
        rows = _lines(store, ANSWERS)
    except FileNotFoundError:
        raise UserError(
            f"{place}: {SCORES}, {ANSWERS} or {JUDGED} is missing: give a folder that nashflow benchmark run has made, "
            "of a benchmark of questions"
        ) from None
    answered = [
        Answered(Question(row["question"], row["category"], ()), Answer(row["question"], tuple(row["turns"])))
        for row in rows
    ]
    judged = with_judgments(answered, _lines(store, JUDGED))
    return _Side(place, record, benchmark.model_construct(kind=_kind(record)).parts(judged))


def _kind(record: Mapping[str, Any]) -> str:
    return str(record["settings"]["kind"])


def _value(record: Mapping[str, Any], name: str) -> float | None:
    """A figure by its short name."""
    judge = "".join(f"/{each['name']}" for each in record["judges"])
    value: float | None = record["figures"].get(f"{record['benchmark']}/{name}{judge}")
    return value


def _lines(store: Store, name: str) -> list[Any]:
    return [json.loads(line) for line in store.read(name).decode().split("\n") if line]
