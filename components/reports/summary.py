"""The summary of a run: its figures by iteration, for programs; figure, page and table are made from it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..benchmarks import every_figure
from ..core.errors import UserError
from ..core.settings import Part
from ..iterations.tracked import combined
from ..iterations.units import Shape
from ..oracles.conduct import SHARES
from ..oracles.fitted.settings import FIGURES
from ..oracles.settings import AnyOracle
from ..oracles.usage import PREFIX, total_usage
from ..sampling.settings import GenerationSettings
from ..storage import layout
from ..storage.run import Run
from ..storage.store import Store
from ..storage.units import Manifest, read_manifest, require_manifest
from .average import average_gaps

_COUNTED = {
    "pairs": "pairs",
    "comparisons": "comparisons",
    "oracle_calls": "oracle_calls",
    "judging_abstentions": "abstentions",
    "judging_truncated": "truncated",
}
"""Counts of the judging of training pairs, by their names in the summary. A benchmark's own are without `judging_`."""
_SAMPLED = ("identical", "empty", "cut")
"""Counts of the rollouts; `sampled_` comes before their names in the summary."""
_DROPPED = "dropped_"


class _Judged(Part):
    oracle: AnyOracle


class _Sampling(Part):
    rollout: GenerationSettings = GenerationSettings()


Manifests = dict[str, list[Manifest]]
"""The manifests of an iteration's units by `<phase>/<step>`, and `evaluation`."""


def summarise(store: Store, run: Run, last: int) -> dict[str, Any]:
    """The summary of iterations 0 (the reference) to `last`, a JSON value; those under way are left out.

    Counts are sums over shards and phases, `usage` over judging and evaluation; `dropped` counts candidates for pairs
    by reason; `sampling` says how responses are sampled where they are not the policy's own; `headlines` are the
    figures of benchmarks that only some recipes have, which rows hold by their names; `judges` are those that the run
    has fitted; seconds are the units' own, summed by step; `duality_gap_average` is the unregularised gap of the
    average iterate. What does not apply is None.

    Raises:
        UserError: no iteration is finished, or they are not measured alike.
    """
    shape = Shape.of(run)
    found = {iteration: _finished(store, shape, iteration) for iteration in range(last + 1)}
    finished = {iteration: manifests for iteration, manifests in found.items() if manifests}
    if not finished:
        raise UserError(
            f"{store.uri}: nothing to report yet: iteration 0 has not been evaluated, or by an earlier version only; "
            "run the recipe again under this run root, which evaluates what is missing"
        )
    evaluations = {t: [require_manifest(store, unit) for unit in shape.evaluations(t)] for t in finished}
    _require_alike(store, evaluations)
    averages = average_gaps(store, run, evaluations)
    return {
        "run": run.name,
        "method": shape.method.name,
        "seed": run.recipe["run"]["seed"],
        "prompts": run.prompts,
        "sampling": _Sampling.parse(run.recipe, layout.RUN).rollout.otherwise(shape.method.phases(last or 1)),
        "headlines": _headlines(run, shape),
        "judges": [_judge(store, unit) for unit in shape.fitted],
        "policies": [{"index": iteration, "digest": _weights_digest(store, iteration)} for iteration in finished],
        "iterations": [
            {**_row(iteration, manifests, evaluations[iteration]), "duality_gap_average": averages.get(iteration)}
            for iteration, manifests in finished.items()
        ],
    }


def _require_alike(store: Store, evaluations: Mapping[int, Sequence[Manifest]]) -> None:
    """Raise if a figure was measured in one way at one iteration and in another way at another.

    Raises:
        UserError: names the figure's unit and the iterations.
    """
    by_part: dict[str, dict[tuple[int, str], list[int]]] = {}
    for iteration, manifests in evaluations.items():
        for manifest in manifests:
            part = manifest.unit.split("/", 2)[-1]
            by_part.setdefault(part, {}).setdefault((manifest.version, manifest.settings), []).append(iteration)
    for part, ways in by_part.items():
        if len(ways) > 1:
            apart = " than for ".join(", ".join(map(str, iterations)) for iterations in ways.values())
            raise UserError(
                f"{store.uri}: {part} was made with other settings, or by another version, for iterations {apart}: run "
                "the recipe again under this run root, which evaluates anew what is not up to date"
            )


def _headlines(run: Run, shape: Shape) -> list[dict[str, Any]]:
    """The figures that matter most of those that only some recipes have; see `Figure`."""
    # The oracle may be of a kind that is not installed here; most benchmarks name their figures without it.
    unnamed = any(not benchmark.figures and not benchmark.oracles for benchmark in shape.benchmarks)
    oracle = _Judged.parse(run.recipe, layout.RUN).oracle if unnamed else None
    figures = [figure for benchmark in shape.benchmarks for figure in benchmark.measures(oracle)]
    return [asdict(figure) for figure in figures if figure.headline and "/" in figure.name]


def _judge(store: Store, unit: str) -> dict[str, Any]:
    """How good a judge is that the run has fitted: its figures, and what they say in a line."""
    manifest = require_manifest(store, unit)
    said = json.loads(manifest.read(store, FIGURES))["verdict"]
    return {
        "name": unit.rpartition("/")[2],
        "digest": manifest.weights_digest,
        "verdict": said,
        **{name: _finite(value) for name, value in manifest.metrics.items()},
    }


def _finished(store: Store, shape: Shape, iteration: int) -> Manifests | None:
    """The manifests of an iteration, or None while one of its units is not done."""
    manifests: Manifests = {}
    for step, keys in shape.units(iteration).items():
        there = [manifest for key in keys if (manifest := read_manifest(store, key))]
        if len(there) < len(keys):
            return None
        manifests[step] = there
    return manifests


def _weights_digest(store: Store, iteration: int) -> str:
    return require_manifest(store, layout.policy(iteration, "main")).weights_digest


def _row(iteration: int, manifests: Manifests, evaluated: list[Manifest]) -> dict[str, Any]:
    figures = combined(evaluated)
    judging = [manifest for step, there in manifests.items() if step.endswith("/judging") for manifest in there]
    judged, together = [manifest.metrics for manifest in judging], combined(judging)
    every = [manifest.metrics for there in manifests.values() for manifest in there]
    sampled = [metrics for metrics in every if metrics.keys() >= set(_SAMPLED)]
    asked = [*judged, *(manifest.metrics for manifest in evaluated)]
    seconds: dict[str, float] = {}
    for step, there in manifests.items():
        name = step.rpartition("/")[2]
        seconds[name] = round(seconds.get(name, 0.0) + sum(manifest.seconds for manifest in there), 3)
    return {
        "iteration": iteration,
        **{name: _finite(figures.get(name)) for name in (*every_figure(), *_of_recipes(figures))},
        **{name: sum(metrics[counted] for metrics in judged) if judged else None for name, counted in _COUNTED.items()},
        **{f"sampled_{name}": sum(metrics[name] for metrics in sampled) if sampled else None for name in _SAMPLED},
        "dropped": {
            name.removeprefix(_DROPPED): count
            for name, count in together.items()
            if name.startswith(_DROPPED) and count
        },
        **{f"judging_{name}": together.get(name) for name in SHARES},
        "usage": {name.removeprefix(PREFIX): value for name, value in total_usage(asked).items()},
        "seconds": seconds,
    }


def _of_recipes(figures: Mapping[str, float]) -> list[str]:
    """The figures with the name of a benchmark before their own, which only some recipes have."""
    return [name for name in figures if "/" in name]


def _finite(value: float | None) -> float | None:
    """The value, or None where it is no number: JSON has neither NaN nor infinity."""
    return value if value is not None and math.isfinite(value) else None
