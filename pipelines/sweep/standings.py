"""Which run of a sweep is best on what: as a JSON value, and as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from nashflow.components.benchmarks.base import Figure
from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import nearest
from nashflow.components.reports.reported import Reported, differences
from nashflow.components.reports.selection import Standing, figures_of, measurements, rank
from nashflow.components.reports.table import Column, is_shown, show, show_figure

from ..tables import print_tables
from .grid import Member, named

Finished = Sequence[tuple[Member, Reported]]
"""The finished runs of a sweep, in the grid's order."""
_CAPTION = (
    "Intervals hold for all runs at once in 95 % of samples, since the best of many tries looks better than it is. "
    "behind: how much worse than the best run, by the same prompts"
)


def compare(finished: Finished, metric: str) -> dict[str, Any]:
    """The figures of each run's last policy, and which run is best on what; a JSON value.

    `metric` is the figure by which to choose; empty: the first headline of the benchmarks that has a better direction.

    Raises:
        UserError: no such figure; or the runs' figures do not compare: says why.
    """
    reports = [report for _, report in finished]
    _check_alike(reports)
    figures = _figures(finished)
    if metric and metric not in figures:
        raise UserError(f"--metric {metric}: these runs have no such figure{nearest(metric, figures)}")
    measured = [measurements(report, member.recipe.oracle) for member, report in finished]
    rankings = {
        name: rank(figure, [each[name] for each in measured])
        for name, figure in figures.items()
        if figure.better and not figure.fault and all(name in each for each in measured)
    }
    runs = [
        {
            "values": member.values,
            "run_root": report.store.uri,
            "iteration": report.summary["iterations"][-1]["iteration"],
            "figures": {name: _json(ranking.standings[place]) for name, ranking in rankings.items()},
        }
        for place, (member, report) in enumerate(finished)
    ]
    return {
        "metric": metric or next((name for name in rankings if figures[name].headline), ""),
        "best": {name: runs[ranking.best]["values"] for name, ranking in rankings.items()},
        "runs": runs,
    }


def print_standings(finished: Finished, found: Mapping[str, Any], console: Console) -> None:
    """Print what `compare` has found, with the figures that have no better direction, and which run is best on what."""
    rows = [report.summary["iterations"][-1] for _, report in finished]
    figures = _figures(finished)
    runs = Column("run", [named(member.values) for member, _ in finished], words=True)
    groups = [[runs, Column("t", [str(run["iteration"]) for run in found["runs"]])]]
    for name, figure in sorted(figures.items(), key=lambda each: each[0] != found["metric"]):
        standings = [run["figures"].get(name) for run in found["runs"]]
        if name in found["best"]:
            behind = Column("behind", [_shown(each.get("behind"), figure) for each in standings])
            shown = Column(_title(figure), [_shown(each, figure) for each in standings])
            groups += [[shown, behind] if any("behind" in each for each in standings) else [shown]]
        else:
            groups += [[Column(_title(figure), [show_figure(figure, row) for row in rows])]]
    print_tables(f"{len(rows)} runs after their last iteration", groups, console)
    console.print(_CAPTION, style="dim")
    for name, values in found["best"].items():
        console.print(f"best {_title(figures[name])}: {named(values)}{_not_worse(name, found)}", soft_wrap=True)


def _check_alike(reports: Sequence[Reported]) -> None:
    first, *others = reports
    for other in others:
        if found := differences(first, other):
            raise UserError(f"{first.store.uri} and {other.store.uri} are not measured alike: {'; '.join(found)}")


def _figures(finished: Finished) -> dict[str, Figure]:
    """The figures that tables show, of all benchmarks of the runs, by name."""
    rows = [report.summary["iterations"][-1] for _, report in finished]
    (member, report), *_ = finished
    return {name: each for name, each in figures_of(report, member.recipe.oracle).items() if is_shown(each, rows)}


def _title(figure: Figure) -> str:
    """A figure's title, or its whole name, with benchmark and judge, where only some recipes have it."""
    return figure.name if "/" in figure.name else figure.title


def _json(standing: Standing) -> dict[str, Any]:
    """A standing without what it does not have."""
    made: dict[str, Any] = {"value": standing.value}
    if standing.interval:
        made["interval"] = [standing.interval.low, standing.interval.high]
    if standing.behind:
        made["behind"] = {"value": standing.behind.value, "interval": [standing.behind.low, standing.behind.high]}
    return made


def _shown(found: Mapping[str, Any] | None, figure: Figure) -> str:
    """A value with its interval, if it has one."""
    if not found:
        return show(None)
    ends = [show(end, figure.digits) for end in found.get("interval", ())]
    return f"{show(found['value'], figure.digits)} [{', '.join(ends)}]" if ends else show(found["value"], figure.digits)


def _not_worse(name: str, found: Mapping[str, Any]) -> str:
    """Which runs are not shown to be worse than the best one."""
    behind = {named(run["values"]): run["figures"][name].get("behind") for run in found["runs"]}
    near = [label for label, each in behind.items() if each and each["interval"][0] <= 0]
    return f"; not shown to be worse: {', '.join(near)}" if near else ""
