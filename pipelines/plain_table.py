"""Plain tables on a terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def print_table(console: Console, title: str, columns: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a title and, below it, a plain table: the first column to the left, the others to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(title, style="bold", soft_wrap=True)
    console.print(table)
