"""All that a comparison of runs says, computed once for the terminal, the page and programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...benchmarks import every_figure
from ...benchmarks.base import Figure
from ...core.errors import UserError
from ...core.settings import nearest
from ..plain import plain
from ..table import is_shown
from .alike import check_comparable, measured_unlike
from .costs import Cost, by_step, costs_of, used_by
from .differences import Difference, Value, corrected, difference, difference_over_seeds, values_of
from .entries import Entry, differing, labelled, seeds_of
from .matches import Match
from .samples import samples_of
from .tradeoffs import Tradeoff, tradeoffs


@dataclass(frozen=True)
class Metric:
    """A figure of all runs' last policies."""

    figure: Figure
    values: Sequence[Value | None]
    differences: Sequence[Difference | None]
    """From the first run's; None of the first one itself, and where one of the two has not measured the figure."""


@dataclass(frozen=True)
class OverSeeds:
    """A figure of recipes that were run with several seeds."""

    figure: Figure
    seeds: Sequence[Sequence[float]]
    """The values of each recipe's seeds."""
    differences: Sequence[Difference | None]
    """Of the means, from the first recipe's."""


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side; the first one is the baseline."""

    entries: Sequence[Entry]
    figures: Sequence[Figure]
    notes: Sequence[str]
    """What was left out, and why."""
    matches: Sequence[Match] = ()

    @property
    def labels(self) -> list[str]:
        """Of the runs."""
        return [entry.label for entry in self.entries]

    @cached_property
    def settings(self) -> dict[str, list[str]]:
        """Those that differ."""
        return differing(self.entries)

    @cached_property
    def metrics(self) -> list[Metric]:
        """The figures, run by run."""
        found = [values_of(entry, self.figures) for entry in self.entries]
        return [_metric(figure, [each.get(figure.name) for each in found]) for figure in self.figures]

    @cached_property
    def recipes(self) -> list[list[Entry]]:
        """The runs by recipe, where there are several recipes and one of them was run with several seeds."""
        groups = seeds_of(self.entries)
        return groups if 1 < len(groups) < len(self.entries) else []

    @property
    def recipe_labels(self) -> list[str]:
        """Those of `recipes`, which tell them apart without seeds."""
        return [entry.label for entry in labelled([group[0].reported for group in self.recipes])]

    @cached_property
    def over_seeds(self) -> list[OverSeeds]:
        """The figures, recipe by recipe."""
        return [made for figure in self.figures if self.recipes and (made := _over_seeds(figure, self.recipes))]

    @cached_property
    def costs(self) -> dict[str, list[dict[str, Cost]]]:
        """Of each run's steps, iteration by iteration."""
        return {entry.label: costs_of(entry) for entry in self.entries}

    @cached_property
    def tradeoffs(self) -> list[Tradeoff]:
        """Of the win rate where it is measured, else of the first figure of which one direction is better."""
        directed = [figure for figure in self.figures if figure.better and figure.name != "kl"]
        chosen = [figure for figure in directed if figure.name == "win_rate"] or directed
        return tradeoffs(self.entries, chosen[0], self.costs) if chosen else []

    def to_json(self) -> dict[str, Any]:
        """The comparison as a JSON value."""
        return {
            "baseline": self.entries[0].label,
            "notes": list(self.notes),
            "runs": [self._run(entry) for entry in self.entries],
            "settings": {key: dict(zip(self.labels, values, strict=True)) for key, values in self.settings.items()},
            "metrics": {each.figure.name: _json(each, self.labels) for each in self.metrics},
            "over_seeds": {
                each.figure.name: _json_over_seeds(each, self.recipes, self.recipe_labels) for each in self.over_seeds
            },
            "tradeoffs": [
                {"figure": each.figure.name, "spent": each.spent, "points": plain(each.points)}
                for each in self.tradeoffs
            ],
            "samples": plain(samples_of(self.entries)),
            "matches": plain(self.matches),
        }

    def _run(self, entry: Entry) -> dict[str, Any]:
        summary, steps = entry.reported.summary, by_step(self.costs[entry.label])
        return {
            "label": entry.label,
            "run": summary["run"],
            "run_root": entry.reported.store.uri,
            "method": summary["method"],
            "seed": entry.seed,
            "iteration": entry.last["iteration"],
            "seconds": {step: round(cost.seconds, 3) for step, cost in steps.items()},
            "gpu_hours": {step: cost.gpu_hours for step, cost in steps.items()},
            "used": used_by(entry),
            "iterations": [{name: row.get(name) for name in ("iteration", *entry.figures)} for row in entry.rows],
        }


def compared(entries: Sequence[Entry], wanted: Sequence[str] = ()) -> Comparison:
    """The comparison of runs with the first one, on the figures `wanted`; by default, on those that matter.

    Raises:
        UserError: the runs do not compare, or no run has measured a wanted figure.
    """
    check_comparable(entries)
    known = {name: figure for entry in entries for name, figure in entry.figures.items()}
    lasts = [entry.last for entry in entries]
    unlike = measured_unlike(entries)
    for name in wanted:
        _check_wanted(name, [each for each in known if any(row.get(each) is not None for row in lasts)], unlike)
    alike = [figure for figure in known.values() if figure.name not in unlike]
    usual = [figure for figure in alike if _matters(figure) and is_shown(figure, lasts)]
    chosen = [known[name] for name in wanted] or usual
    left_out = dict.fromkeys(unlike.values())
    notes = [f"{name} is left out: the runs have not been measured alike by it" for name in left_out]
    ends = {entry.label: entry.last["iteration"] for entry in entries}
    if len(set(ends.values())) > 1:
        said = ", ".join(f"{label} {last}" for label, last in ends.items())
        notes.append(f"The last policies are of different iterations: {said}")
    return Comparison(entries, chosen, notes)


def _matters(figure: Figure) -> bool:
    """Whether a figure is shown unasked: of the many that only some recipes have, the headlines."""
    return figure.headline or "/" not in figure.name or figure.name.startswith("training/")


def _check_wanted(name: str, measured: Sequence[str], unlike: Mapping[str, str]) -> None:
    if name in unlike:
        raise UserError(f"--metric {name}: the runs have not been measured alike by {unlike[name]}: choose another")
    if name not in measured:
        what = "none of these runs has measured it" if name in every_figure() else "no run has such a figure"
        raise UserError(f"--metric {name}: {what}{nearest(name, measured)}")


def _metric(figure: Figure, values: Sequence[Value | None]) -> Metric:
    base, *others = values
    found = [difference(base, other) if base and other else None for other in others]
    return Metric(figure, values, [None, *corrected(found)])


def _over_seeds(figure: Figure, recipes: Sequence[Sequence[Entry]]) -> OverSeeds | None:
    """None where a run has not measured the figure."""
    found = [{entry.seed: entry.last.get(figure.name) for entry in group} for group in recipes]
    known = [{seed: value for seed, value in each.items() if value is not None} for each in found]
    if found != known:
        return None
    base, *others = known
    differences = corrected([difference_over_seeds(base, other) for other in others])
    return OverSeeds(figure, [list(each.values()) for each in known], [None, *differences])


def _json(metric: Metric, labels: Sequence[str]) -> dict[str, Any]:
    rows = zip(labels, metric.values, metric.differences, strict=True)
    return {
        **_about(metric.figure),
        "runs": {
            label: {
                "value": value.value,
                "interval": _interval(value),
                "difference": _difference(change, metric.figure),
            }
            for label, value, change in rows
            if value
        },
    }


def _json_over_seeds(found: OverSeeds, recipes: Sequence[Sequence[Entry]], labels: Sequence[str]) -> dict[str, Any]:
    return {
        **_about(found.figure),
        "recipes": [
            {
                "label": label,
                "runs": [entry.label for entry in group],
                "values": list(values),
                "difference": _difference(change, found.figure),
            }
            for label, group, values, change in zip(labels, recipes, found.seeds, found.differences, strict=True)
        ],
    }


def _about(figure: Figure) -> dict[str, Any]:
    return {"title": figure.title, "unit": figure.unit, "better": figure.better or None}


def _interval(found: Value | Difference) -> list[float] | None:
    return None if found.low is None or found.high is None else [found.low, found.high]


def _difference(found: Difference | None, figure: Figure) -> dict[str, Any] | None:
    if found is None:
        return None
    said = {"value": found.value, "interval": _interval(found), "p": found.p, "pairs": found.pairs}
    return {**said, "verdict": found.verdict(figure)}
