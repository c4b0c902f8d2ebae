"""The end of an iteration: sends the figures of its steps and its policies to the tracker."""

import time
from collections.abc import Iterator, Sequence

from ..core.digests import digest_json
from ..oracles.conduct import shares
from ..oracles.usage import usage_in
from ..storage import layout
from ..storage.dropped import dropped
from ..storage.run import read_run
from ..storage.store import Store
from ..storage.units import Manifest, Unit, require_manifest
from ..tracking.tracker import Dataset, Point, Tracker
from .units import Shape

VERSION = 1


def track_iteration(store: Store, iteration: int) -> None:
    """Send a finished iteration to the tracker, if the run has one; only once, unless anything has changed.

    Raises:
        UserError: a step of it is not finished.
    """
    tracker, run = Tracker.of(store), read_run(store)
    if not (tracker.uri and run):
        return
    shape = Shape.of(run)
    manifests = _manifests(store, shape, iteration)
    done = {unit.unit: digest_json(unit.to_json()) for units in manifests.values() for unit in units}
    unit = Unit(store, layout.tracked_iteration(iteration), VERSION, {"tracking": run.tracking}, done)
    if unit.finished():
        return
    started = time.time()
    send_iteration(tracker, store, shape, iteration)
    if not tracker.warning:
        unit.publish({}, {}, started)


def send_iteration(tracker: Tracker, store: Store, shape: Shape, iteration: int) -> None:
    """Send the figures of every step of a finished iteration; sending them again changes nothing.

    Raises:
        UserError: a step of it is not finished.
    """
    manifests = _manifests(store, shape, iteration)
    for step, units in manifests.items():
        tracker.step(
            iteration,
            step,
            combined(units),
            sum(manifest.seconds for manifest in units),
            min(manifest.began for manifest in units),
            max(manifest.finished for manifest in units),
            {manifest.unit: manifest.digest for manifest in units},
        )
        if units[0].curves:
            tracker.curve(iteration, step, list(_points(units[0])))
    tracker.datasets(iteration, list(_datasets(store, iteration, shape.shards)))
    model = None
    for unit in shape.policies(iteration):
        made, name = require_manifest(store, unit), unit.rpartition("/")[2]
        kept = not dropped(store, unit)
        model = tracker.checkpoint(iteration, name, made.weights_digest, store.location(made.unit), kept)
    keys = shape.evaluations(iteration)
    every = [unit for units in manifests.values() for unit in units]
    evaluated = [unit for unit in every if unit.unit in keys]
    tracker.iteration(iteration, combined(evaluated), max(unit.finished for unit in every), model)


def _points(trained: Manifest) -> Iterator[Point]:
    """The curves of a training, in case MLflow was unreachable during the training."""
    for update, values in enumerate(zip(*trained.curves.values(), strict=True), start=1):
        yield Point(update, trained.finished, dict(zip(trained.curves, values, strict=True)))


def _manifests(store: Store, shape: Shape, iteration: int) -> dict[str, list[Manifest]]:
    return {step: [require_manifest(store, key) for key in keys] for step, keys in shape.units(iteration).items()}


def _datasets(store: Store, iteration: int, shards: int) -> Iterator[Dataset]:
    """The prompts that an iteration worked on."""
    units = [layout.prompts(iteration, shard) for shard in range(shards)] if iteration else [layout.held_out()]
    for unit in units:
        file = require_manifest(store, unit).files["prompts"]
        context = "training" if iteration else "evaluation"
        yield Dataset(unit, file.sha256, store.location(file.key), file.rows or 0, context)


def combined(manifests: Sequence[Manifest]) -> dict[str, float]:
    """The figures of a step's units as one: whole numbers and what an oracle has used add up, others are averaged.

    Those of judging have the shares of the oracle's conduct, too.
    """
    values: dict[str, list[float]] = {}
    for manifest in manifests:
        for name, value in manifest.metrics.items():
            values.setdefault(name, []).append(value)
    used = usage_in(values)
    figures = {
        name: sum(each) if name in used or isinstance(each[0], int) else sum(each) / len(each)
        for name, each in values.items()
    }
    return figures | (shares(figures) if "oracle_calls" in figures else {})
