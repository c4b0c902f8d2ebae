"""Minimise the phase's objective on its pairs, and publish the next policy."""

from typing import Any

from ..methods.phases import Phase
from ..runtime.artifacts import Artifact, policy_artifact, shards_artifact
from ..runtime.protocol import Call, Result
from ..storage.records import COMPARISONS, PAIRS, ROLLOUTS, Record
from ..storage.units import Manifest, require_manifest
from .settings import TrainingStep
from .task import Task, manifests

SETTINGS = TrainingStep
VERSION = 2
OUTPUTS = ("policy", "metrics", "responses", "comparisons", "pairs")


def run(call: Call[TrainingStep]) -> Result:
    """Train one phase of an iteration."""
    task = Task.of(call, VERSION)
    found = task.unit.finished() is not None
    if not found:
        call.settings.training.launcher.run(call, task.carry_out)
    manifest = require_manifest(call.store, task.unit.key)
    task.checkpoints.discard()
    return _result(call, task.phase, manifest, found)


def _result(call: Call[TrainingStep], phase: Phase, manifest: Manifest, skipped: bool) -> Result:
    source = phase.data_from or phase.name

    def data(kind: str, record: Record[Any]) -> Artifact:
        return shards_artifact(call.store, manifests(call, source, kind), record)

    artifacts = {
        "policy": policy_artifact(call.store, manifest),
        "responses": data("rollouts", ROLLOUTS),
        "comparisons": data("pairs", COMPARISONS),
        "pairs": data("pairs", PAIRS),
    }
    return Result(manifest, skipped, artifacts)
