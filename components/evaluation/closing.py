"""Close an iteration: tell the tracker what its steps measured and which policies they made."""

from collections.abc import Sequence
from typing import Any

from ..methods.units import units_of
from ..shared import layout
from ..shared.protocol import Call
from ..shared.run import require_run
from ..shared.tracker import Tracker
from ..shared.tracking import Tracking
from ..shared.units import Manifest, require_manifest
from .settings import Step


def close_iteration(call: Call[Step], evaluated: Manifest) -> None:
    """Send the figures of every step of the iteration; sending them again changes nothing."""
    run = require_run(call.store)
    tracker = Tracker(Tracking.from_json(dict(run.tracking)) if run.tracking else None)
    # The reference is preparation's, and known to the tracker since; other policies are the iteration's own.
    policies = [] if call.iteration else [require_manifest(call.store, layout.policy(0, "main"))]
    for step, keys in units_of(call.settings.method, call.iteration, call.settings.prompts.shards).items():
        manifests = [evaluated if step == "evaluation" else require_manifest(call.store, key) for key in keys]
        tracker.step(
            call.iteration,
            step,
            combined(manifests),
            sum(manifest.seconds for manifest in manifests),
            max(manifest.finished for manifest in manifests),
            {manifest.unit: manifest.digest for manifest in manifests},
        )
        if step.endswith("/training"):
            policies += manifests
    model = None
    for made in policies:
        name = made.unit.rpartition("/")[2]
        model = tracker.checkpoint(call.iteration, name, made.metrics["weights"], call.store.location(made.unit))
    tracker.iteration(call.iteration, evaluated.metrics, evaluated.finished, model)


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
