"""Sample K responses per prompt, from the policies that the phase names."""

import time
from collections.abc import Iterator
from typing import Any

from ..engines.rollouts import sample_rows
from ..methods import phase_of
from ..methods.phases import Sampling
from ..shared import layout, records
from ..shared.journal import Journal, discard
from ..shared.policies import LocalPolicy, open_policy
from ..shared.protocol import Call, Result
from ..shared.units import Unit, require_manifest
from .settings import Step

VERSION = 1


def run(call: Call[Step]) -> Result:
    """Make the rollouts of one shard of an iteration's prompts."""
    phase = phase_of(call.settings.method, call.iteration, call.phase)
    prompts = require_manifest(call.store, layout.prompts(call.iteration, call.shard))
    policies = [open_policy(call.store, str(policy)) for sampling in phase.samples for policy in sampling.policies]
    unit = Unit(
        call.store,
        layout.shard(call.iteration, call.phase, "rollouts", call.shard),
        VERSION,
        call.settings.model_dump(mode="json"),
        {"prompts": prompts.digest, **{f"policy {index}": policy.weights for index, policy in enumerate(policies)}},
    )
    if manifest := unit.finished():
        discard(unit)
        return Result(manifest, skipped=True)
    started = time.time()
    table = prompts.table(call.store, "prompts", records.PROMPTS).to_pylist()
    with Journal(unit) as journal:
        for batch in _batches(call, phase.samples, policies, table, len(journal.entries)):
            journal.append(batch)
    rows = sorted((row for batch in journal.entries for row in batch), key=lambda row: (row["row_id"], row["sample"]))
    rollouts = (records.table(rows, records.ROLLOUTS), records.ROLLOUTS)
    manifest = unit.publish_records({"rollouts": rollouts}, _metrics(rows), started)
    discard(unit)
    return Result(manifest)


def _batches(
    call: Call[Step],
    samples: tuple[Sampling, ...],
    policies: list[LocalPolicy],
    prompts: list[dict[str, Any]],
    done: int,
) -> Iterator[list[dict[str, Any]]]:
    """The micro-batches after the first `done`, in canonical order: sampling by sampling, prompt by prompt."""
    size, first = call.settings.rollout.batch_size, 0
    for sampling, policy in zip(samples, policies, strict=True):
        indices = range(first, first + sampling.count)
        work = [(prompt, index) for prompt in prompts for index in indices]
        if work[done * size :]:
            yield from sample_rows(
                policy.folder,
                call.settings.rollout,
                work[done * size :],
                role=sampling.role,
                temperature=sampling.temperature,
                seed=(call.settings.run.seed, call.iteration, call.phase),
            )
        done = max(0, done - -(-len(work) // size))
        first += sampling.count


def _metrics(rows: list[dict[str, Any]]) -> dict[str, float]:
    tokens = sum(len(row["response_ids"]) for row in rows)
    return {
        "responses": len(rows),
        "tokens": tokens,
        "mean_length": tokens / len(rows),
        "finished": sum(row["finish"] == "stop" for row in rows) / len(rows),
        "distinct": len({(row["row_id"], row["text"]) for row in rows}) / len(rows),
    }
