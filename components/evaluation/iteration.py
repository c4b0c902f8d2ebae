"""Close an iteration: tell the tracker what its steps measured and which policies they made."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..methods.base import Method
from ..methods.units import units_of
from ..storage import layout
from ..storage.store import Store
from ..storage.units import Manifest, require_manifest
from ..tracking.tracker import Dataset, Point, Tracker


def close_iteration(tracker: Tracker, store: Store, method: Method, iteration: int, shards: int) -> None:
    """Send the figures of every step of an evaluated iteration; sending them again changes nothing.

    Raises:
        UserError: a step of it is not finished.
    """
    evaluated = require_manifest(store, layout.evaluation(iteration))
    # Iteration 0 makes no policy: it looks at the reference.
    policies = [] if iteration else [require_manifest(store, layout.policy(0, "main"))]
    for step, keys in units_of(method, iteration, shards).items():
        manifests = [require_manifest(store, key) for key in keys]
        tracker.step(
            iteration,
            step,
            combined(manifests),
            sum(manifest.seconds for manifest in manifests),
            min(manifest.began for manifest in manifests),
            max(manifest.finished for manifest in manifests),
            {manifest.unit: manifest.digest for manifest in manifests},
        )
        if step.endswith("/training"):
            policies += manifests
            tracker.curve(iteration, step, list(_points(manifests[0])))
    tracker.datasets(iteration, list(_datasets(store, iteration, shards)))
    model = None
    for made in policies:
        name = made.unit.rpartition("/")[2]
        model = tracker.checkpoint(iteration, name, made.metrics["weights"], store.location(made.unit))
    tracker.iteration(iteration, evaluated.metrics, evaluated.finished, model)


def _points(trained: Manifest) -> Iterator[Point]:
    """A training's curves, in case that MLflow was away while it went on."""
    curves = trained.metrics["curves"]
    for update, values in enumerate(zip(*curves.values(), strict=True), start=1):
        yield Point(update, trained.finished, dict(zip(curves, values, strict=True)))


def _datasets(store: Store, iteration: int, shards: int) -> Iterator[Dataset]:
    """The prompts that an iteration worked on."""
    units = [layout.prompts(iteration, shard) for shard in range(shards)] if iteration else [layout.held_out()]
    for unit in units:
        file = require_manifest(store, unit).files["prompts"]
        context = "training" if iteration else "evaluation"
        yield Dataset(unit, file.sha256, store.location(file.key), file.rows or 0, context)


def combined(manifests: Sequence[Manifest]) -> dict[str, Any]:
    """The figures of a step's shards as one: whole numbers add up, others are averaged."""
    figures: dict[str, Any] = {}
    for name, first in manifests[0].metrics.items():
        values = [manifest.metrics[name] for manifest in manifests]
        if isinstance(first, int):
            figures[name] = sum(values)
        elif isinstance(first, float):
            figures[name] = sum(values) / len(values)
    return figures
