"""The report on benchmarks: of one policy, and of all policies of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..table import NOT_APPLICABLE, Column, show_figure
from ..template import rendered
from .examples import Example
from .report import BenchmarkReport
from .tables import GAIN, Titled, show_gain, tables_of
from .template import PAGE


@dataclass(frozen=True)
class PolicyReport:
    """What all benchmarks say of a policy."""

    title: str
    """Such as its run and iteration."""
    digest: str
    """Of its weights; empty where its answers alone are known."""
    benchmarks: Sequence[BenchmarkReport]

    def to_json(self, *, examples: bool = True) -> dict[str, Any]:
        """The report as a JSON value, with examples to read if they are wanted."""
        benchmarks = [each.to_json(examples=examples) for each in self.benchmarks]
        return {"policy": self.title, "digest": self.digest, "benchmarks": benchmarks}


class _Section(NamedTuple):
    name: str
    origin: str
    warnings: Sequence[str]
    tables: Sequence[Titled]
    examples: Sequence[Example]


def render_policy(report: PolicyReport) -> str:
    """The page on one policy."""
    return rendered(
        PAGE,
        title=report.title,
        subtitle=f"Weights {report.digest}" if report.digest else "",
        overview=[],
        sections=[_section(each) for each in report.benchmarks],
    )


def render_run(name: str, policies: Sequence[PolicyReport]) -> str:
    """The page on a run: the figures of all its policies, then all that is known of the last one."""
    last = policies[-1]
    return rendered(
        PAGE,
        title=name,
        subtitle=f"{len(policies)} policies; below their figures, the report on {last.title}, weights {last.digest}",
        overview=_overview(policies),
        sections=[_section(each) for each in last.benchmarks],
    )


def _section(report: BenchmarkReport) -> _Section:
    trained = "the policy was trained by this judge too" if report.oracle == report.judge else ""
    other = f"the policy was trained by {report.oracle}" if report.oracle and not trained else trained
    judged = f"judged by {report.judge}" if report.judge else "decided by rules, without a judge"
    origin = "; ".join(part for part in (judged, other) if part)
    return _Section(
        report.name, f"{origin[0].upper()}{origin[1:]}.", report.warnings, tables_of(report), report.examples
    )


def _overview(policies: Sequence[PolicyReport]) -> list[Titled]:
    """A table for each benchmark and judge: a row for each policy that it has measured, a column for each figure."""
    by_judge: dict[tuple[str, str], list[tuple[str, BenchmarkReport]]] = {}
    for policy in policies:
        for report in policy.benchmarks:
            by_judge.setdefault((report.name, report.judge), []).append((policy.title, report))
    return [_compared(name, judge, measured) for (name, judge), measured in by_judge.items()]


def _compared(name: str, judge: str, measured: Sequence[tuple[str, BenchmarkReport]]) -> Titled:
    figures = {figure.name: figure for _, report in measured for figure in report.figures if figure.title}
    columns = [Column("policy", [title for title, _ in measured], words=True)]
    for figure in figures.values():
        cells = [
            show_figure(figure, report.values) if figure.name in report.values else NOT_APPLICABLE
            for _, report in measured
        ]
        columns.append(Column(figure.title, cells))
        gains = [report.gains.get(figure.name) for _, report in measured]
        if any(gains):
            columns.append(Column(f"{figure.title}: {GAIN}", [show_gain(figure, gain) for gain in gains]))
    return Titled(f"{name}: all policies", columns, f"Judge: {judge}." if judge else "")
