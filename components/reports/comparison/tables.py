"""The tables of a comparison, for the terminal and for the page."""

from collections.abc import Sequence

from ...benchmarks.base import Figure
from ..table import NOT_APPLICABLE, Column, show
from .charts import titled
from .comparison import Comparison
from .costs import by_step, cost_columns, used_by
from .differences import Difference, Value
from .matches import Match
from .tradeoffs import SECONDS, Tradeoff

CAPTION = (
    "t: last iteration, whose policy is measured; less baseline: the difference, paired by prompt where pairs are "
    "counted; intervals hold one by one in 95 % of samples; p: of no difference, corrected for the number of runs "
    "(Holm); verdict: by p ≤ 0.05. A run's interval is that of its own policy; other seeds may differ by more"
)
SEEDS_CAPTION = (
    "Runs of one recipe that differ in the seed alone: means over the seeds, and differences by Student's t, paired "
    "where both have the same seeds, else Welch's"
)
_CHANGE = ("less baseline [95 %]", "pairs", "p", "verdict")
_INDENT = "\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}"


def settings_table(found: Comparison) -> list[Column]:
    """The settings that differ, a row each, a column for each run."""
    columns = [Column("setting", list(found.settings), words=True)]
    for place, label in enumerate(found.labels):
        columns.append(Column(label, [values[place] for values in found.settings.values()]))
    return columns


def metric_table(found: Comparison) -> list[Column]:
    """For each figure a row with its title, and below it one for each run."""
    rows: list[Sequence[str]] = []
    for each in found.metrics:
        rows.append((titled(each.figure), *[""] * 6))
        for entry, value, change in zip(found.entries, each.values, each.differences, strict=True):
            last = str(entry.last["iteration"])
            rows.append((_INDENT + entry.label, last, *_cells(each.figure, value, change)))
    return _columns(("figure, run", "t", "value [95 %]", *_CHANGE), rows)


def seeds_table(found: Comparison) -> list[Column]:
    """For each figure a row with its title, and below it one for each recipe; no columns where no recipe was run with
    several seeds."""
    rows: list[Sequence[str]] = []
    for each in found.over_seeds:
        rows.append((titled(each.figure), *[""] * 6))
        for label, values, change in zip(found.recipe_labels, each.seeds, each.differences, strict=True):
            mean = Value(sum(values) / len(values))
            rows.append((_INDENT + label, str(len(values)), *_cells(each.figure, mean, change)))
    return _columns(("figure, recipe", "seeds", "mean", *_CHANGE), rows) if rows else []


def cost_table(found: Comparison) -> list[Column]:
    """Seconds and GPU hours of each run's steps, then what its oracle used."""
    totals = [by_step(found.costs[label]) for label in found.labels]
    columns = list(cost_columns(found.labels, totals))
    used = [used_by(entry) for entry in found.entries]
    for name in dict.fromkeys(name for each in used for name in each):
        digits = 2 if any(isinstance(each.get(name), float) for each in used) else 0
        columns.append(Column(name, [show(each.get(name), digits) for each in used]))
    return columns


def tradeoff_table(found: Tradeoff) -> list[Column]:
    """The policies that no other beats, from the cheapest."""
    best = sorted((point for point in found.points if point.efficient), key=lambda point: point.spent)
    return [
        Column("run", [point.label for point in best], words=True),
        Column("t", [str(point.iteration) for point in best]),
        Column(found.spent, [show(point.spent, 1 if found.spent == SECONDS else 3) for point in best]),
        Column(found.figure.title, [show(point.gained, found.figure.digits) for point in best]),
    ]


def match_table(matches: Sequence[Match]) -> list[Column]:
    """A row for each match."""
    rows = [
        (
            each.first,
            each.second,
            _between(each.win_rate, each.low, each.high, 3),
            _p(each.p),
            show(each.prompts),
            show(each.abstentions),
        )
        for each in matches
    ]
    columns = _columns(("run", "against", "win rate [95 %]", "p", "prompts", "no verdict"), rows)
    return columns if any(each.abstentions for each in matches) else columns[:-1]


def _cells(figure: Figure, value: Value | None, change: Difference | None) -> tuple[str, ...]:
    shown = NOT_APPLICABLE if value is None else _between(value.value, value.low, value.high, figure.digits)
    if change is None:
        return (shown, "", "", "", "")
    less = _between(change.value, change.low, change.high, figure.digits, signed=True)
    return (shown, less, show(change.pairs) if change.pairs else "", _p(change.p), change.verdict(figure))


def _between(value: float | None, low: float | None, high: float | None, digits: int, *, signed: bool = False) -> str:
    """A value, and its interval where it has one."""

    def shown(number: float | None) -> str:
        return f"{'+' if signed and number and round(number, digits) > 0 else ''}{show(number, digits)}"

    return shown(value) if low is None else f"{shown(value)} [{shown(low)}, {shown(high)}]"


def _p(p: float | None) -> str:
    return NOT_APPLICABLE if p is None else "< 0.001" if p < 0.001 else show(p, 3)


def _columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    """Columns from rows; names of figures and runs, and verdicts, are words."""
    words = ("figure, run", "figure, recipe", "run", "against")
    cells = zip(*rows, strict=True) if rows else [() for _ in names]
    return [Column(name, list(each), words=name in words) for name, each in zip(names, cells, strict=True)]
