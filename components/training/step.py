"""Minimise the phase's objective on its pairs, and publish the next policy."""

import math
import tempfile
import time
from pathlib import Path

from ..methods import phase_of
from ..methods.at_work import begin
from ..methods.phases import Phase
from ..models.folders import load_causal_lm, save_policy, weights_digest
from ..models.policies import open_policy
from ..runtime.artifacts import Artifact, policy_artifact, shards_artifact
from ..runtime.protocol import Call, Result
from ..storage import layout
from ..storage.units import Manifest, Unit, require_manifest
from .checkpoint import Checkpoints
from .data import load
from .loop import Trainer, summary
from .settings import TrainingStep

SETTINGS = TrainingStep
VERSION = 2
OUTPUTS = ("policy", "metrics", "responses", "comparisons", "pairs")


def run(call: Call[TrainingStep]) -> Result:
    """Train one phase of an iteration."""
    settings = call.settings
    phase = phase_of(settings.method, call.iteration, call.phase)
    shards = range(settings.prompts.shards)
    source = phase.data_from or phase.name
    pairs = [require_manifest(call.store, layout.shard(call.iteration, source, "pairs", shard)) for shard in shards]
    scored = [
        require_manifest(call.store, layout.shard(call.iteration, phase.name, "logprobs", shard)) for shard in shards
    ]
    start = open_policy(call.store, str(phase.start_from))
    inputs = {f"pairs {shard}": pairs[shard].digest for shard in shards}
    inputs |= {f"logprobs {shard}": scored[shard].digest for shard in shards}
    unit = Unit(
        call.store,
        layout.policy(phase.result.iteration, phase.result.name),
        VERSION,
        settings.model_dump(mode="json"),
        {**inputs, "start": start.weights},
    )
    checkpoints = Checkpoints(call.store, layout.training(call.iteration, call.phase), unit.fingerprint[:16])
    if manifest := unit.finished():
        checkpoints.discard()
        return _result(call, phase, manifest, skipped=True)
    begun = begin(call, f"{call.phase}/training")
    started = time.time()
    data = load(call.store, phase, pairs, scored)
    model = load_causal_lm(start.folder, "float32")
    trainer = Trainer(model, phase, data, settings.training, (settings.run.seed, call.iteration, call.phase))
    mismatch = trainer.mismatch()
    curves = trainer.train(checkpoints)
    metrics = {"pairs": len(data), "updates": trainer.updates, **summary(phase, data, curves)}
    if not math.isnan(mismatch):
        metrics["cache_mismatch"] = mismatch
    with tempfile.TemporaryDirectory(prefix="nashflow-policy-") as scratch:
        folder = Path(scratch) / "policy"
        save_policy(model, start.folder, folder, settings.training.save_dtype)
        weights = {"weights": weights_digest(folder), "curves": curves}
        manifest = unit.publish_folder(folder, {**metrics, **weights}, started)
    begun.end(manifest)
    checkpoints.discard()
    return _result(call, phase, manifest)


def _result(call: Call[TrainingStep], phase: Phase, manifest: Manifest, skipped: bool = False) -> Result:
    source, store = phase.data_from or phase.name, call.store

    def data(unit: str, kind: str) -> Artifact:
        keys = [layout.shard(call.iteration, source, unit, shard) for shard in range(call.settings.prompts.shards)]
        return shards_artifact(store, [require_manifest(store, key) for key in keys], kind)

    artifacts = {
        "policy": policy_artifact(store, manifest),
        "responses": data("rollouts", "rollouts"),
        "comparisons": data("pairs", "comparisons"),
        "pairs": data("pairs", "pairs"),
    }
    return Result(manifest, skipped, artifacts)
