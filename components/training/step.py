"""Minimise the phase's objective on its pairs, and publish the next policy."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.settings import named_by
from ..fitting.checkpoint import Checkpoints
from ..iterations.work import AtWork, Work
from ..methods import phase_of
from ..methods.phases import Phase
from ..models.folders import save_policy
from ..models.policies import LocalPolicy, open_master, open_policy
from ..models.weights import weights_digest
from ..runtime.artifacts import Artifact, policy_artifact, shards_artifact
from ..runtime.protocol import Call, Result
from ..storage import layout
from ..storage.records import COMPARISONS, PAIRS, ROLLOUTS, Record
from ..storage.units import Manifest, Unit, require_manifest
from .agreement import check_agreement
from .data import load
from .loop import Trainer, summary
from .saved import round_and_measure
from .settings import TrainingStep

SETTINGS = TrainingStep
VERSION = 2
OUTPUTS = ("policy", "metrics", "responses", "comparisons", "pairs")


def run(call: Call[TrainingStep]) -> Result:
    """Train one phase of an iteration."""
    phase = phase_of(call.settings.method, call.iteration, call.phase)
    pairs, scored = _manifests(call, phase.data_from or phase.name, "pairs"), _manifests(call, phase.name, "logprobs")
    start = open_policy(call.store, str(phase.start_from))
    inputs = {f"pairs {shard}": manifest.digest for shard, manifest in enumerate(pairs)}
    inputs |= {f"logprobs {shard}": manifest.digest for shard, manifest in enumerate(scored)}
    unit = Unit(
        call.store,
        layout.policy(phase.result.iteration, phase.result.name),
        VERSION,
        call.settings.model_dump(mode="json", exclude={"training": {"micro_batch_tokens"}}),
        {
            **inputs,
            "start": start.weights_digest,
            **({"master": start.master} if start.master else {}),
            **named_by(engine=call.settings.training.engine),
        },
    )
    checkpoints = Checkpoints(call.store, layout.training(call.iteration, call.phase), unit.fingerprint[:16])
    manifest, found = AtWork(call, f"{call.phase}/training").carry_out(
        unit,
        lambda work: _train(call, work, phase, start, (pairs, scored), checkpoints),
        lambda _: checkpoints.discard(),
    )
    return _result(call, phase, manifest, found)


def _train(
    call: Call[TrainingStep],
    work: Work,
    phase: Phase,
    start: LocalPolicy,
    shards: tuple[list[Manifest], list[Manifest]],
    checkpoints: Checkpoints,
) -> Manifest:
    settings = call.settings.training
    data = load(call.store, phase, *shards)
    seed = (call.settings.run.seed, call.iteration, call.phase)
    trainer = settings.engine.open(start.folder, phase, data, settings, seed)
    agreement = check_agreement(trainer, _cached_in(call, start))
    if start.master:
        trainer.start_from(open_master(call.store, str(phase.start_from), start.master))
    curves = trainer.train(checkpoints)
    settings.adapter.merge(trainer.model)
    metrics = {"pairs": len(data), "updates": trainer.updates, **summary(phase, data, curves), **agreement}
    metrics["tokens"] = sum(map(trainer.tokens, trainer.plan()))
    with tempfile.TemporaryDirectory(prefix="nashflow-policy-") as scratch:
        policy, master = Path(scratch, "policy"), ""
        if settings.keeps_masters:
            master = _publish_master(work, phase, trainer, start.folder, Path(scratch, "master"))
        metrics |= round_and_measure(trainer, f"iteration {call.iteration}, {phase.name}")
        save_policy(trainer.model, start.folder, policy, settings.save_dtype)
        return work.publish_policy(policy, metrics, weights_digest=weights_digest(policy), curves=curves, master=master)


def _publish_master(work: Work, phase: Phase, trainer: Trainer, start: Path, folder: Path) -> str:
    """Publish the weights in float32, and return their digest."""
    save_policy(trainer.model, start, folder, "float32")
    unit = replace(work.unit, key=layout.master(phase.result.iteration, phase.result.name))
    return unit.publish_folder(folder, {}, work.started, weights_digest=weights_digest(folder)).weights_digest


def _cached_in(call: Call[TrainingStep], policy: LocalPolicy) -> str:
    """Where the phase's log-probabilities of a policy are kept, for people."""
    phase = call.store.location(layout.shard(call.iteration, call.phase, "logprobs", 0).rpartition("/")[0])
    return f"{phase} and {call.store.at('..').location(f'{layout.LOGPROB_CACHE}/{policy.weights_digest}')}"


def _manifests(call: Call[TrainingStep], phase: str, kind: str) -> list[Manifest]:
    """The manifests of all shards of a phase."""
    keys = [layout.shard(call.iteration, phase, kind, shard) for shard in range(call.settings.prompts.shards)]
    return [require_manifest(call.store, key) for key in keys]


def _result(call: Call[TrainingStep], phase: Phase, manifest: Manifest, skipped: bool = False) -> Result:
    source = phase.data_from or phase.name

    def data(kind: str, record: Record[Any]) -> Artifact:
        return shards_artifact(call.store, _manifests(call, source, kind), record)

    artifacts = {
        "policy": policy_artifact(call.store, manifest),
        "responses": data("rollouts", ROLLOUTS),
        "comparisons": data("pairs", COMPARISONS),
        "pairs": data("pairs", PAIRS),
    }
    return Result(manifest, skipped, artifacts)
