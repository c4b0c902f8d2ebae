"""A comparison on the terminal."""

from pathlib import Path

from rich.console import Console

from nashflow.components.reports.comparison.comparison import Comparison
from nashflow.components.reports.comparison.tables import (
    CAPTION,
    SEEDS_CAPTION,
    cost_table,
    match_table,
    metric_table,
    seeds_table,
    settings_table,
    tradeoff_table,
)

from ..tables import print_place, print_tables


def print_comparison(found: Comparison, console: Console, page: Path | None) -> None:
    """Print the tables, and where the page lies."""
    for note in found.notes:
        console.print(note, style="yellow")
    first, *others = settings_table(found)
    print_tables("settings that differ", [[first], *([each] for each in others)], console)
    metrics = metric_table(found)
    print_tables(f"the runs beside {found.labels[0]}", [metrics[:3], metrics[3:]], console)
    console.print(CAPTION, style="dim")
    if seeds := seeds_table(found):
        print_tables("over seeds", [seeds[:3], seeds[3:]], console)
        console.print(SEEDS_CAPTION, style="dim")
    if found.matches:
        print_tables("head to head", [match_table(found.matches)], console)
    for each in found.tradeoffs:
        print_tables(f"the best {each.figure.title} for its {each.spent}", [tradeoff_table(each)], console)
    first, *others = cost_table(found)
    print_tables("costs of all iterations", [[first], *([each] for each in others)], console)
    if page:
        print_place(console, "page", str(page))
