"""The table of a run, one row an iteration: the same for the terminal and for the page."""

from collections.abc import Mapping
from typing import Any, NamedTuple

CAPTION = (
    "win rate: against the reference, with its 95 % interval; gap: duality gap, 0 at the Nash equilibrium; exact gap: "
    "that of the method's exact tabular iterate; KL: to the reference, in nats; length: mean, in tokens; pairs: kept; "
    "compared: comparisons made"
)
NOT_APPLICABLE = "–"


class Column(NamedTuple):
    """A heading and its cells, one an iteration."""

    title: str
    cells: list[str]


def show(value: float | None, digits: int = 0) -> str:
    """A figure for people, with thousands separated."""
    return NOT_APPLICABLE if value is None else f"{value:,.{digits}f}"


def show_interval(row: Mapping[str, Any]) -> str:
    """The 95 % interval of an iteration's win rate."""
    return f"[{show(row['win_rate_low'], 3)}, {show(row['win_rate_high'], 3)}]"


def figure_columns(summary: Mapping[str, Any]) -> list[Column]:
    """What each iteration's policy measures, and what it was made from."""
    rows = summary["iterations"]
    digits = {
        "gap": ("duality_gap", 4),
        "exact gap": ("duality_gap_exact", 4),
        "KL": ("kl", 3),
        "length": ("mean_length", 1),
        "pairs": ("pairs", 0),
        "compared": ("comparisons", 0),
    }
    return [
        Column("t", [str(row["iteration"]) for row in rows]),
        Column("win rate [95 %]", [_win_rate(row) for row in rows]),
        *(Column(title, [show(row[name], places) for row in rows]) for title, (name, places) in digits.items()),
    ]


def second_columns(summary: Mapping[str, Any]) -> list[Column]:
    """How long each step took, in seconds; in the order of the steps, which the last iteration has all of."""
    rows = summary["iterations"]
    steps = dict.fromkeys(step for row in reversed(rows) for step in row["seconds"])
    return [Column(f"{step} s", [show(row["seconds"].get(step), 1) for row in rows]) for step in steps]


def _win_rate(row: Mapping[str, Any]) -> str:
    return NOT_APPLICABLE if row["win_rate"] is None else f"{show(row['win_rate'], 3)} {show_interval(row)}"
