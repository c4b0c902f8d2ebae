"""The table of a run, one row an iteration, and that of several, one row a run: for the terminal and for the page."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..benchmarks import every_figure
from ..benchmarks.base import Figure

NOT_APPLICABLE = "–"


class Column(NamedTuple):
    """A heading and its cells, one a row."""

    title: str
    cells: list[str]
    words: bool = False
    """Whether the cells are words, which start on the left."""


def show(value: float | None, digits: int = 0) -> str:
    """A figure for people, with thousands separated."""
    return NOT_APPLICABLE if value is None else f"{round(value, digits) + 0.0:,.{digits}f}"  # no "-0.00"


def show_figure(figure: Figure, row: Mapping[str, Any]) -> str:
    """A benchmark's figure of one iteration, with its 95 % interval or its standard error where it has one."""
    value = row.get(figure.name)
    shown = show(value, figure.digits)
    return shown if value is None else f"{shown} {show_accuracy(figure, row)}".rstrip()


def show_accuracy(figure: Figure, row: Mapping[str, Any]) -> str:
    """The 95 % interval of a figure, or its standard error; empty where it has neither."""
    if figure.interval:
        low, high = figure.interval
        return f"[{show(row[low], figure.digits)}, {show(row[high], figure.digits)}]"
    error = row.get(figure.error)
    return "" if error is None else f"± {show(error, figure.digits)}"


def shown_figures(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The figures to show in tables, of those that have one name in every recipe."""
    return [figure for figure in every_figure().values() if is_shown(figure, rows)]


def is_shown(figure: Figure, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether tables show a figure: at least one of the rows has it, and it says something there."""
    return bool(figure.title) and any(_tells(figure, row) for row in rows)


def _tells(figure: Figure, row: Mapping[str, Any]) -> bool:
    """Whether a row has a figure that is neither a fault that has not happened nor the same as another figure."""
    value = row.get(figure.name)
    if value is None or (figure.fault and not round(value, figure.digits)):
        return False
    return not figure.unlike or value != row.get(figure.unlike)


def heading(figure: Figure, rows: Sequence[Mapping[str, Any]]) -> str:
    """A figure's title, with what stands beside its value."""
    if figure.interval:
        return f"{figure.title} [95 %]"
    return f"{figure.title} ± s.e." if any(row.get(figure.error) is not None for row in rows) else figure.title


def caption(summary: Mapping[str, Any]) -> str:
    """What the columns of a run's table are."""
    faults = "; no verdict: of those the oracle could not judge, which make no pair; cut: judged by a part of a text"
    said = faults if faults_of_judging(summary["iterations"]) else ""
    sampled = (
        "; sampled: of all responses, identical: those whose text another one of their prompt has; empty: those "
        "without text; cut: those without an end"
        if faults_of_sampling(summary["iterations"])
        else ""
    )
    otherwise = f"; {note}" if (note := summary.get("sampling")) else ""
    reasons = dropped_by_reason(summary["iterations"])
    dropped = f"; dropped: made no pair ({reasons})" if reasons else ""
    used = "; oracle: what it used, in judging and evaluation" if any(_usage(summary["iterations"])) else ""
    return (
        f"{_meanings(summary['iterations'])}; pairs: kept; compared: comparisons made{said}{sampled}{dropped}{used}"
        f"{otherwise}"
    )


def comparison_caption(summaries: Sequence[Mapping[str, Any]]) -> str:
    """What the columns of the table of several runs are."""
    measured = _meanings([summary["iterations"][-1] for summary in summaries])
    return (
        f"t: last iteration; {measured}; of start: as a share of iteration 0's gap; average gap: that of the average "
        "iterate in the game without KL; compared, oracle calls, seconds: of all iterations and steps"
    )


def _meanings(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = shown_figures(rows)
    said = [f"{figure.title}: {figure.meaning}" for figure in shown if figure.meaning]
    errors = any(row.get(figure.error) is not None for figure in shown for row in rows)
    return "; ".join(said + ["s.e.: standard error"] * errors)


def figure_columns(summary: Mapping[str, Any]) -> list[Column]:
    """Columns with the figures of each iteration's policy, and the number of pairs and comparisons that it was trained
    on."""
    rows = summary["iterations"]
    counts = {**faults_of_sampling(rows), "pairs": "pairs", "compared": "comparisons", **faults_of_judging(rows)}
    return [
        Column("t", [str(row["iteration"]) for row in rows]),
        *_measured(rows),
        *(Column(title, [show(row.get(name)) for row in rows]) for title, name in counts.items()),
        *_dropped(rows),
        *_usage(rows),
    ]


def faults_of_judging(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Titles and names of the counts of faults in judging the training pairs, those that are not 0."""
    counts = {"compared: no verdict": "judging_abstentions", "compared: cut": "judging_truncated"}
    return _counted(counts, rows)


def faults_of_sampling(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Titles and names of the counts of faults in sampling the training pairs, those that are not 0."""
    return _counted({f"sampled: {name}": f"sampled_{name}" for name in ("identical", "empty", "cut")}, rows)


def _counted(counts: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {title: name for title, name in counts.items() if any(row.get(name) for row in rows)}


def _dropped(rows: Sequence[Mapping[str, Any]]) -> Iterator[Column]:
    """How many candidates made no pair."""
    counts = [None if row["pairs"] is None else sum(row.get("dropped", {}).values()) for row in rows]
    if any(counts):
        yield Column("dropped", [show(count) for count in counts])


def dropped_by_reason(rows: Sequence[Mapping[str, Any]]) -> str:
    """The candidates that made no pair in any of the iterations, by reason, in words; empty if there are none."""
    total: Counter[str] = sum((Counter(row.get("dropped", {})) for row in rows), Counter())
    return ", ".join(f"{count:,} {why}" for why, count in total.most_common())


def _usage(rows: Sequence[Mapping[str, Any]]) -> Iterator[Column]:
    """What the oracle has used: whole numbers, and amounts such as its cost with two digits."""
    every = [row.get("usage", {}) for row in rows]
    for name in dict.fromkeys(name for used in every for name in used):
        values = [used.get(name, 0) for used in every]
        digits = 2 if any(isinstance(value, float) for value in values) else 0
        yield Column(f"oracle: {name}", [show(value, digits) for value in values])


def benchmark_columns(summary: Mapping[str, Any]) -> list[Column]:
    """Columns with the headlines of benchmarks that only some recipes have; none where there is no such benchmark."""
    figures = [Figure(**each) for each in summary.get("headlines", ())]
    return [
        Column(each.name, [show_figure(each, {each.name: None, **row}) for row in summary["iterations"]])
        for each in figures
    ]


def second_columns(summary: Mapping[str, Any]) -> list[Column]:
    """How long each step took, in seconds; in the order of the steps.

    Those that the last iteration lacks come before it.
    """
    rows = summary["iterations"]
    later = rows[-1]["seconds"]
    steps = dict.fromkeys([*(step for row in rows for step in row["seconds"] if step not in later), *later])
    return [Column(f"{step} s", [show(row["seconds"].get(step), 1) for row in rows]) for step in steps]


def comparison_columns(summaries: Sequence[Mapping[str, Any]]) -> list[list[Column]]:
    """Columns with the figures of each run's last policy and the totals of the run, in groups that stay together."""
    lasts = [summary["iterations"][-1] for summary in summaries]
    measured = _measured(lasts)
    sums = {"compared": "comparisons", "oracle calls": "oracle_calls"}
    return [
        [
            Column("run", run_labels(summaries), words=True),
            Column("method", [summary["method"] for summary in summaries], words=True),
            Column("t", [str(last["iteration"]) for last in lasts]),
            *measured[:2],
        ],
        [
            *measured[2:],
            Column("of start", [show(_share_of_start(summary), 3) for summary in summaries]),
            Column("average gap", [show(last["duality_gap_average"], 4) for last in lasts]),
        ],
        [
            *(Column(title, [show(_sum(summary, name)) for summary in summaries]) for title, name in sums.items()),
            Column("seconds", [show(_seconds(summary)) for summary in summaries]),
        ],
    ]


def _measured(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    return [Column(heading(figure, rows), [show_figure(figure, row) for row in rows]) for figure in shown_figures(rows)]


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
