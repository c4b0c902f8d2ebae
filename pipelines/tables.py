"""Tables of runs on a terminal: one run by iteration, several side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from nashflow.components.models.named import place_of
from nashflow.components.reports.files import FIGURE, PAGE
from nashflow.components.reports.promotion import decision_of
from nashflow.components.reports.table import (
    Column,
    benchmark_columns,
    caption,
    comparison_caption,
    comparison_columns,
    figure_columns,
    second_columns,
)
from nashflow.components.storage import layout
from nashflow.components.storage.store import Store

FEW = 3
"""Largest number of runs that are shown one by one before they are compared."""
_ANY_WIDTH = 10_000


def print_comparison(summaries: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print several runs and their comparison."""
    if len(summaries) <= FEW:
        for summary in summaries:
            _print_run(summary, console)
        console.print(caption(summaries[0]), style="dim")
        console.print()
    print_tables("the runs after their last iteration", comparison_columns(summaries), console)
    console.print(comparison_caption(summaries), style="dim")


def print_table(summary: Mapping[str, Any], store: Store, console: Console) -> None:
    """Print a run's figures, a row an iteration, and where its report and its last policy lie."""
    _print_run(summary, console)
    console.print(caption(summary), style="dim")
    for judge in summary["judges"]:
        console.print(f"judge {judge['name']}: {judge['verdict']}")
    if decision := decision_of(store):
        console.print(f"{decision['model']}: {decision['line']}", soft_wrap=True)
    for name, key in (("figure", FIGURE), ("report", PAGE), ("summary", layout.SUMMARY)):
        print_place(console, name, store.location(key))
    last = summary["iterations"][-1]["iteration"]
    print_place(console, "policy", place_of(store, f"{last:03d}/main"))


def _print_run(summary: Mapping[str, Any], console: Console) -> None:
    title = f"{summary['run']}: {summary['method']}, seed {summary['seed']}"
    print_tables(title, [figure_columns(summary), benchmark_columns(summary), second_columns(summary)], console)


def print_tables(title: str, groups: Sequence[list[Column]], console: Console) -> None:
    """The groups of columns side by side, in as few tables as fit on the terminal; each has the first column.

    A group that fits on no line of its own is taken column by column.
    """
    first, *others = groups[0]
    tables = [[first]]
    for group in (others, *groups[1:]):
        whole = _fits([first, *group], console)
        for piece in [group] if whole else [[column] for column in group]:
            if _fits([*tables[-1], *piece], console):
                tables[-1] += piece
            else:
                tables.append([first, *piece])
    for number, columns in enumerate(tables):
        console.print(_table(None if number else title, columns))
        console.print()


def _fits(columns: Sequence[Column], console: Console) -> bool:
    return _width(_table(None, columns), console) <= console.width


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


def print_place(console: Console, name: str, place: str) -> None:
    """Print where something lies, in one piece."""
    # A path is copied from the terminal: it may not be broken.
    console.print(f"{name:<8} {place}", soft_wrap=True)
