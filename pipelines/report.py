"""The end of a run on a terminal, and `nashflow report`: the report again, several runs of one world in one figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from nashflow.components.core.atomic_file import replacing
from nashflow.components.core.errors import UserError
from nashflow.components.models.named import place_of
from nashflow.components.reports.figure import draw
from nashflow.components.reports.files import FIGURE, PAGE, publish_report, report_unit
from nashflow.components.reports.summary import summarise
from nashflow.components.reports.table import (
    CAPTION,
    COMPARISON_CAPTION,
    Column,
    comparison_columns,
    figure_columns,
    second_columns,
)
from nashflow.components.storage import layout
from nashflow.components.storage.run import Run, flatten, require_run
from nashflow.components.storage.store import Store, open_store

from .resend import send_again
from .terminal import terminal

_MEASURED_WITH = ("evaluation.tau", "evaluation.temperature")
"""What a policy is looked at through: figures measured with another one do not compare."""

_ANY_WIDTH = 10_000
_FEW = 3
"""Up to so many runs are shown one by one, before they are compared, and named in the name of their figure's file."""


class _Report(NamedTuple):
    store: Store
    run: Run
    summary: dict[str, Any]


def report_runs(run_roots: Sequence[str], output: Path | None) -> None:
    """One run: show its table again, write its report's files anew, and send MLflow, where the environment names one,
    what it lacks. Several: compare them in a table and a figure.

    `output` is where the figure goes; by default that of several runs goes below the first run root.

    Raises:
        UserError: there is no run, nothing in it is finished, or the runs are not of one world (says what differs).
    """
    if output and (output.suffix != ".png" or output.is_dir()):
        raise UserError(f"--output {output}: the figure is a PNG file: give a name that ends in .png")
    reports = [_read(run_root) for run_root in run_roots]
    for other in reports[1:]:
        _check_one_world(reports[0], other)
    console = terminal()
    if len(reports) == 1:
        store, run, summary = reports[0]
        made = publish_report(report_unit(store, run, summary), run, summary)
        print_table(summary, store, console)
        send_again(store, run, {name: made.read(store, name) for name in made.files})
    else:
        _compare([report.summary for report in reports], console)
    if output or len(reports) > 1:
        _print_place(console, "figure", _write_figure(reports, output))


def _compare(summaries: Sequence[Mapping[str, Any]], console: Console) -> None:
    if len(summaries) <= _FEW:
        for summary in summaries:
            _print_run(summary, console)
        console.print(CAPTION, style="dim")
        console.print()
    _print_tables("the runs after their last iteration", comparison_columns(summaries), console)
    console.print(COMPARISON_CAPTION, style="dim")


def print_table(summary: Mapping[str, Any], store: Store, console: Console) -> None:
    """Print a run's figures, a row an iteration, and where its report and its last policy lie."""
    _print_run(summary, console)
    console.print(CAPTION, style="dim")
    for name, key in (("figure", FIGURE), ("report", PAGE), ("summary", layout.SUMMARY)):
        _print_place(console, name, store.location(key))
    last = summary["iterations"][-1]["iteration"]
    _print_place(console, "policy", place_of(store, f"{last:03d}/main"))


def _print_run(summary: Mapping[str, Any], console: Console) -> None:
    title = f"{summary['run']}: {summary['method']}, seed {summary['seed']}"
    _print_tables(title, [figure_columns(summary), second_columns(summary)], console)


def _print_tables(title: str, groups: Sequence[list[Column]], console: Console) -> None:
    """The groups of columns side by side, in as few tables as fit on the terminal; each has the first column."""
    first, *rest = groups
    tables = [first]
    for group in rest:
        wider = [*tables[-1], *group]
        if _width(_table(title, wider), console) <= console.width:
            tables[-1] = wider
        else:
            tables.append([first[0], *group])
    for number, columns in enumerate(tables):
        console.print(_table(None if number else title, columns))
        console.print()


def _width(table: Table, console: Console) -> int:
    """How many characters wide the table is where there is room for it."""
    return console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum


def _table(title: str | None, columns: Sequence[Column]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column.title, justify="left" if column.words else "right", no_wrap=True)
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table


def _print_place(console: Console, name: str, place: str) -> None:
    # A path is copied from the terminal: it may not be broken.
    console.print(f"{name:<8} {place}", soft_wrap=True)


def _read(run_root: str) -> _Report:
    store = open_store(run_root)
    run = require_run(store)
    return _Report(store, run, summarise(store, run, run.recipe["run"]["iterations"]))


def _check_one_world(one: _Report, other: _Report) -> None:
    """What a run names is compared by digest: another path or batch size makes no other world."""
    here, there = (flatten(report.run.recipe) for report in (one, other))
    changed = {
        key: f"{key} is {here.get(key)!r} and {there.get(key)!r}"
        for key in sorted(here | there)
        if here.get(key) != there.get(key)
    }
    differing = [changed[key] for key in _MEASURED_WITH if key in changed]
    for named, digest in one.run.inputs.items():
        if other.run.inputs[named] != digest:
            section = ", ".join(text for key, text in changed.items() if key.startswith(f"{named}."))
            differing.append(f"other {named} ({section or 'under the same settings'})")
    if differing:
        raise UserError(
            f"{one.store.uri} and {other.store.uri} are not of one world, so their figures do not compare: "
            f"{'; '.join(differing)}"
        )


def _write_figure(reports: Sequence[_Report], output: Path | None) -> str:
    """Draw the runs in one figure; where it was written."""
    figure = draw([report.summary for report in reports])
    if output:
        with replacing(output) as file:
            file.write(figure)
        return str(output)
    store, others = reports[0].store, reports[1:]
    named = "-".join(report.run.name for report in others) if len(reports) <= _FEW else f"{len(others)}-others"
    key = f"report/figure-with-{named}.png"
    store.write(key, figure)
    return store.location(key)
