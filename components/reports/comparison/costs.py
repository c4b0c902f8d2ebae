"""What runs cost: seconds and GPU hours by step, and what their oracles used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ...core.machine import accelerators
from ...storage.units import Manifest, read_manifest
from ..table import Column, show
from .entries import Entry


@dataclass(frozen=True)
class Cost:
    """Of some tasks, all shards together."""

    seconds: float
    gpu_hours: float | None
    """Hours that accelerators were held; None where the machines are not recorded."""

    def __add__(self, other: "Cost") -> "Cost":
        known = self.gpu_hours is not None and other.gpu_hours is not None
        hours = (self.gpu_hours or 0) + (other.gpu_hours or 0)
        return Cost(self.seconds + other.seconds, hours if known else None)


NOTHING = Cost(0.0, 0.0)


def costs_of(entry: Entry) -> list[dict[str, Cost]]:
    """The costs of a run's steps by name, one after the other iteration."""
    nodes, made = _nodes(entry.reported.run.recipe), []
    for row in entry.rows:
        steps: dict[str, Cost] = {}
        for task, units in entry.shape.units(row["iteration"]).items():
            step = task.rpartition("/")[2]
            for unit in units:
                if manifest := read_manifest(entry.reported.store, unit):
                    cost = _cost(manifest, nodes if step == "training" else 1)
                    steps[step] = steps.get(step, NOTHING) + cost
        made.append(steps)
    return made


def by_step(costs: Sequence[Mapping[str, Cost]]) -> dict[str, Cost]:
    """The costs of all iterations, by step."""
    total: dict[str, Cost] = {}
    for steps in costs:
        for step, cost in steps.items():
            total[step] = total.get(step, NOTHING) + cost
    return total


def until(costs: Sequence[Mapping[str, Cost]]) -> list[Cost]:
    """The costs of all steps up to each iteration, this one included."""
    return list(accumulate(sum(steps.values(), NOTHING) for steps in costs))


def cost_columns(labels: Sequence[str], totals: Sequence[Mapping[str, Cost]]) -> Iterator[Column]:
    """Seconds of each step, then hours of accelerators where any were held."""
    steps = list(dict.fromkeys(step for each in totals for step in each))
    yield Column("run", list(labels), words=True)
    for step in steps:
        yield Column(f"{step} s", [show(each[step].seconds if step in each else None, 1) for each in totals])
    sums = [sum(each.values(), NOTHING) for each in totals]
    yield Column("all s", [show(each.seconds, 1) for each in sums])
    if any(each.gpu_hours for each in sums):
        for step in steps:
            hours = [each[step].gpu_hours if step in each else None for each in totals]
            if any(hours):
                yield Column(f"{step} GPU h", [show(each, 3) for each in hours])
        yield Column("all GPU h", [show(each.gpu_hours, 3) for each in sums])


def used_by(entry: Entry) -> dict[str, float]:
    """What judging and evaluation took of the oracle in all iterations, by name: comparisons, calls, tokens, money."""
    total: dict[str, float] = {}
    for row in entry.rows:
        counted = {"comparisons": row["comparisons"], "oracle calls": row["oracle_calls"]}
        for name, value in {**counted, **row.get("usage", {})}.items():
            total[name] = total.get(name, 0) + (value or 0)
    return total


def _cost(manifest: Manifest, nodes: int) -> Cost:
    held = accelerators(manifest.machine)
    return Cost(manifest.seconds, None if held is None else held * nodes * manifest.seconds / 3600)


def _nodes(recipe: Mapping[str, Any]) -> int:
    """On how many nodes a policy is trained, each like the one that wrote the manifest."""
    launcher = recipe.get("training", {}).get("launcher")
    return int(launcher.get("nodes", 1)) if isinstance(launcher, Mapping) else 1
