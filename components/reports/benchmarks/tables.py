"""The tables of the report on benchmarks."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from ...benchmarks.base import Figure
from ...benchmarks.published import Published
from ...benchmarks.shares import Interval
from ...quality.agreement import Share
from ...quality.measure import FIGURES
from ..table import NOT_APPLICABLE, Column, heading, show, show_figure
from .lengths import Lengths
from .report import BenchmarkReport

GAIN = "more than the reference [95 %]"
"""What a paired difference is called."""


class Titled(NamedTuple):
    """A table with its title, and what is to be said of it."""

    title: str
    columns: list[Column]
    note: str = ""


def tables_of(report: BenchmarkReport) -> list[Titled]:
    """The tables on one benchmark's results, those that have rows."""
    figures = {figure.name: figure for figure in report.figures}
    tables = [
        _scores(report),
        *(_published(report, figures[name], column) for name, column in report.published.items()),
        _categories(report),
        _lengths(report),
        _judge(report),
    ]
    return [table for table in tables if table and table.columns[0].cells]


def _scores(report: BenchmarkReport) -> Titled:
    shown = [each for each in report.figures if each.title and report.values.get(each.name) is not None]
    columns = [
        Column("figure", [heading(figure, [report.values]) for figure in shown], words=True),
        Column("value", [show_figure(figure, report.values) for figure in shown]),
        Column("what it is", [figure.meaning for figure in shown], words=True),
    ]
    if report.gains:
        gains = Column(GAIN, [show_gain(figure, report.gains.get(figure.name)) for figure in shown])
        columns.insert(2, gains)
    return Titled("Scores", columns)


def show_gain(figure: Figure, gain: Interval | None) -> str:
    """By how much a figure is greater than the reference's, with its interval."""
    if gain is None:
        return NOT_APPLICABLE
    value, low, high = (show(each, figure.digits) for each in gain)
    return f"{value} [{low}, {high}]"


def _published(report: BenchmarkReport, figure: Figure, column: Published) -> Titled | None:
    if report.values.get(figure.name) is None:
        return None
    digits = max(len(f"{score:g}".partition(".")[2]) for score in column.scores.values())
    theirs = (show(score, digits) for score in column.scores.values())
    columns = [
        Column("policy", ["this one", *column.scores], words=True),
        Column("score", [show_figure(figure, report.values), *theirs]),
        Column("judge", [report.judge or "none", *([column.judge or "none"] * len(column.scores))], words=True),
    ]
    compare = " Scores that different judges gave do not compare." if column.judge else ""
    return Titled("Beside the paper", columns, f"{column.title}, by {column.source}.{compare}")


def _categories(report: BenchmarkReport) -> Titled | None:
    """A row for each category, a column for each figure; None where there are not several categories."""
    found = {(row["category"], row["figure"]): row for row in report.categories}
    categories, figures = (list(dict.fromkeys(key[at] for key in found)) for at in (0, 1))
    columns = [Column("category", [each or "none" for each in categories], words=True)]
    for figure in figures:
        rows = [found.get((category, figure)) for category in categories]
        cells = [NOT_APPLICABLE if row is None else _between(row["value"], row["low"], row["high"]) for row in rows]
        columns.append(Column(f"{figure} [95 %]", cells))
    counts = {row["category"]: row["questions"] for row in report.categories}
    columns.append(Column("questions", [show(counts[category]) for category in categories]))
    return Titled("By category", columns) if len(categories) > 1 else None


def _lengths(report: BenchmarkReport) -> Titled | None:
    if not (lengths := report.lengths):
        return None
    sides = {"the policy's answers": lengths.policy, "those that they are compared with": lengths.opponent}
    there: dict[str, Lengths] = {name: side for name, side in sides.items() if side}
    columns = [
        Column("characters", list(there), words=True),
        Column("mean", [show(side.mean) for side in there.values()]),
        Column("median", [show(side.median) for side in there.values()]),
        Column("longest", [show(side.longest) for side in there.values()]),
    ]
    longer = "" if lengths.longer is None else f"; longer than the other answer: {lengths.longer:.0%}"
    mean = "" if lengths.tokens is None else f"mean {show(lengths.tokens, 1)} tokens; "
    note = f"Of the policy's {len(report.cases)} answers: {mean}cut: {lengths.cut}; empty: {lengths.empty}{longer}."
    return Titled("Lengths", columns, note)


def _judge(report: BenchmarkReport) -> Titled:
    rows = dict(_of_judge(report))
    columns = [
        Column("of the judge", list(rows), words=True),
        Column("value", [value for value, _ in rows.values()]),
        Column("what it is", [meaning for _, meaning in rows.values()], words=True),
    ]
    return Titled("Judge", columns)


def _of_judge(report: BenchmarkReport) -> Iterator[tuple[str, tuple[str, str]]]:
    if conduct := report.conduct:
        shares = {
            "orders agree": (conduct.orders_agree, "of the pairs shown in both orders, those decided alike in both"),
            "for the first": (conduct.shown_first, "of its sights of a pair, those for the answer shown first"),
            "for the longer": (conduct.for_longer, "of its decisions, those for the answer with more characters"),
        }
        yield from ((name, (_share(share), meaning)) for name, (share, meaning) in shares.items() if share)
        yield "verdicts", (show(conduct.verdicts), "that the scores count")
        for reason, count in conduct.missing.items():
            yield f"none: {reason}", (show(count), "judgments without a verdict")
    if canary := report.canary:
        rate = _between(canary.win_rate, canary.low, canary.high)
        yield "canary", (rate, f"win rate of one constant answer to {canary.questions} questions: should be near 0")
    if found := report.correlation:
        said = f"rank correlation with {report.oracle}, which the policy was trained by, on {found.answers} answers"
        yield "training oracle", (_between(*found[:3]), said)
    for name, (shown, meaning) in _quality(report).items():
        yield name, (shown, meaning)
    for name, value in report.usage.items():
        yield f"used: {name}", (show(value, 0 if float(value).is_integer() else 4), "")


def _quality(report: BenchmarkReport) -> dict[str, tuple[str, str]]:
    """The judge's accuracy and what else stands in its own report's first places, on labelled pairs."""
    if not (kept := report.quality):
        return {}
    known = [figure for figure in FIGURES if figure.better == "higher" and kept.figures.get(figure.name) is not None]
    return {
        f"on labelled pairs: {heading(figure, [kept.figures])}": (
            show_figure(figure, kept.figures),
            f"{figure.meaning}; {kept.pairs}",
        )
        for figure in known
    }


def _share(share: Share) -> str:
    return _between(*share)


def _between(value: float, low: float, high: float) -> str:
    """A value with its interval, where that is known."""
    ends = "" if math.isnan(low) else f" [{show(low, 3)}, {show(high, 3)}]"
    return show(value, 3) + ends
