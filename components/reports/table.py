"""The table of a run, one row an iteration, and that of several, one row a run: for the terminal and for the page."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_MEASURED = (
    "win rate: against the reference, with its 95 % interval; gap: duality gap, 0 at the Nash equilibrium; exact gap: "
    "that of the method's exact tabular iterate; KL: to the reference, in nats"
)
CAPTION = f"{_MEASURED}; length: mean, in tokens; pairs: kept; compared: comparisons made"
COMPARISON_CAPTION = (
    f"t: last iteration; {_MEASURED}; of start: as a share of iteration 0's gap; average gap: that of the average "
    "iterate in the game without KL; compared, oracle calls, seconds: of all iterations and steps"
)
NOT_APPLICABLE = "–"


class Column(NamedTuple):
    """A heading and its cells, one a row."""

    title: str
    cells: list[str]
    words: bool = False
    """Whether the cells are words, which start on the left."""


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


def comparison_columns(summaries: Sequence[Mapping[str, Any]]) -> list[list[Column]]:
    """What each run's last policy measures, and what the whole run took; in groups of columns that stay together."""
    lasts = [summary["iterations"][-1] for summary in summaries]
    gaps = {"exact gap": "duality_gap_exact", "average gap": "duality_gap_average"}
    sums = {"compared": "comparisons", "oracle calls": "oracle_calls"}
    return [
        [
            Column("run", run_labels(summaries), words=True),
            Column("method", [summary["method"] for summary in summaries], words=True),
            Column("t", [str(last["iteration"]) for last in lasts]),
            Column("win rate [95 %]", [_win_rate(last) for last in lasts]),
        ],
        [
            Column("gap", [show(last["duality_gap"], 4) for last in lasts]),
            Column("of start", [show(_share_of_start(summary), 3) for summary in summaries]),
            *(Column(title, [show(last[name], 4) for last in lasts]) for title, name in gaps.items()),
            Column("KL", [show(last["kl"], 3) for last in lasts]),
        ],
        [
            *(Column(title, [show(_sum(summary, name)) for summary in summaries]) for title, name in sums.items()),
            Column("seconds", [show(_seconds(summary)) for summary in summaries]),
        ],
    ]


def run_labels(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The runs' names; those of one name are told apart by their seeds."""
    names = [summary["run"] for summary in summaries]
    return [
        name if names.count(name) == 1 else f"{name} (seed {summary['seed']})"
        for name, summary in zip(names, summaries, strict=True)
    ]


def _share_of_start(summary: Mapping[str, Any]) -> float | None:
    """The last duality gap divided by iteration 0's, where both are there."""
    first, last = summary["iterations"][0], summary["iterations"][-1]
    if first["iteration"] or not first["duality_gap"] or last["duality_gap"] is None:
        return None
    return float(last["duality_gap"] / first["duality_gap"])


def _sum(summary: Mapping[str, Any], name: str) -> float | None:
    """The sum of a count over the iterations that have it."""
    counts = [row[name] for row in summary["iterations"] if row[name] is not None]
    return sum(counts) if counts else None


def _seconds(summary: Mapping[str, Any]) -> float:
    return float(sum(sum(row["seconds"].values()) for row in summary["iterations"]))


def _win_rate(row: Mapping[str, Any]) -> str:
    return NOT_APPLICABLE if row["win_rate"] is None else f"{show(row['win_rate'], 3)} {show_interval(row)}"
