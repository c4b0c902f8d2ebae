"""Sample K responses per prompt from the policies that the phase names, and add those that come with the prompt."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..methods import phase_of
from ..methods.at_work import begin
from ..methods.phases import Phase
from ..models.policies import LocalPolicy, open_policy
from ..runtime.artifacts import records_artifact
from ..runtime.progress import over
from ..runtime.protocol import Call, Result
from ..sampling.rollouts import given_rows, sample_rows
from ..storage import layout, records
from ..storage.journal import Journal, discard
from ..storage.units import Manifest, Unit, require_manifest
from .settings import RolloutStep

SETTINGS = RolloutStep
VERSION = 1
OUTPUTS = ("responses",)


def run(call: Call[RolloutStep]) -> Result:
    """Make the rollouts of one shard of an iteration's prompts."""
    phase = phase_of(call.settings.method, call.iteration, call.phase)
    prompts = require_manifest(call.store, layout.prompts(call.iteration, call.shard))
    names = {str(phase.start_from)} if phase.given else set[str]()
    names.update(name for sampling in phase.samples for name in sampling.weights)
    policies = {name: open_policy(call.store, name) for name in sorted(names)}
    unit = Unit(
        call.store,
        layout.shard(call.iteration, call.phase, "rollouts", call.shard),
        VERSION,
        call.settings.model_dump(mode="json"),
        {"prompts": prompts.digest, **{name: policy.weights for name, policy in policies.items()}},
    )
    if manifest := unit.finished():
        discard(unit)
        return _result(call, manifest, skipped=True)
    begun = begin(call, f"{call.phase}/rollout")
    started = time.time()
    table = prompts.table(call.store, "prompts", records.PROMPTS).to_pylist()
    with Journal(unit) as journal:
        batches = _batches(call, phase, policies, table, len(journal.entries))
        total = len(table) * sum(sampling.count for sampling in phase.samples)
        for batch in over(batches, "responses", total, sum(map(len, journal.entries)), _tokens):
            journal.append(batch)
    rows = [row for batch in journal.entries for row in batch]
    if phase.given:
        count = sum(sampling.count for sampling in phase.samples)
        rows += given_rows(policies[str(phase.start_from)].folder, table, count)
    rows.sort(key=lambda row: (row["row_id"], row["sample"]))
    rollouts = (records.table(rows, records.ROLLOUTS), records.ROLLOUTS)
    manifest = unit.publish_records({"rollouts": rollouts}, _metrics(rows), started)
    begun.end(manifest)
    discard(unit)
    return _result(call, manifest)


def _result(call: Call[RolloutStep], manifest: Manifest, skipped: bool = False) -> Result:
    return Result(manifest, skipped, {"responses": records_artifact(call.store, manifest, "rollouts")})


def _batches(
    call: Call[RolloutStep],
    phase: Phase,
    policies: dict[str, LocalPolicy],
    prompts: list[dict[str, Any]],
    done: int,
) -> Iterator[list[dict[str, Any]]]:
    """The micro-batches after the first `done`, in canonical order: sampling by sampling, prompt by prompt."""
    size, first = call.settings.rollout.batch_size, 0
    for sampling in phase.samples:
        indices = range(first, first + sampling.count)
        work = [(prompt, index) for prompt in prompts for index in indices]
        if work[done * size :]:
            mixture: dict[Path, float] = {}
            for name, weight in sampling.weights.items():
                # Equal policies may lie in one folder.
                folder = policies[name].folder
                mixture[folder] = mixture.get(folder, 0.0) + weight
            yield from sample_rows(
                mixture,
                call.settings.rollout,
                work[done * size :],
                role=sampling.role,
                temperature=sampling.temperature,
                seed=(call.settings.run.seed, call.iteration, call.phase),
            )
        done = max(0, done - -(-len(work) // size))
        first += sampling.count


def _tokens(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {"tokens": sum(len(row["response_ids"]) for row in rows)}


def _metrics(rows: list[dict[str, Any]]) -> dict[str, float]:
    tokens = sum(len(row["response_ids"]) for row in rows)
    return {
        "responses": sum(row["role"] != "given" for row in rows),
        "tokens": tokens,
        "mean_length": tokens / len(rows),
        "finished": sum(row["finish"] == "stop" for row in rows) / len(rows),
        "distinct": len({(row["row_id"], row["text"]) for row in rows}) / len(rows),
    }
