"""Sample K responses per prompt from the policies that the phase names, and add those that come with the prompt."""

from collections.abc import Iterator
from pathlib import Path

from ..core.settings import named_by
from ..iterations.work import AtWork, Work
from ..methods import phase_of
from ..methods.phases import Phase
from ..models.policies import LocalPolicy, open_policy
from ..runtime.artifacts import records_artifact
from ..runtime.progress import over
from ..runtime.protocol import Call, Result
from ..sampling.rollouts import Samplers, answer_lengths, given_rows, tokens_of
from ..storage import layout
from ..storage.records import PROMPTS, ROLLOUTS, Prompt, Rollout
from ..storage.run import date_of
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
        {
            "prompts": prompts.digest,
            "date": date_of(call.store),
            **{name: policy.weights_digest for name, policy in policies.items()},
            **named_by(sampler=call.settings.rollout.engine),
        },
    )
    manifest, found = AtWork(call, f"{call.phase}/rollout").carry_out(
        unit, lambda work: _sample(call, work, phase, policies, prompts)
    )
    return Result(manifest, found, {"responses": records_artifact(call.store, manifest, ROLLOUTS)})


def _sample(
    call: Call[RolloutStep], work: Work, phase: Phase, policies: dict[str, LocalPolicy], prompts: Manifest
) -> Manifest:
    table, journal = prompts.rows(call.store, PROMPTS), work.journal
    rollout, template, day = call.settings.rollout, call.settings.policy, date_of(call.store)
    with Samplers(rollout, template=template, day=day) as samplers:
        batches = _batches(call, phase, samplers, policies, table, len(journal.entries))
        total = len(table) * sum(sampling.count for sampling in phase.samples)
        for batch in over(batches, "responses", total, sum(map(len, journal.entries)), tokens_of):
            journal.append(batch)
    rows: list[Rollout] = [row for batch in journal.entries for row in batch]
    if phase.given:
        count = sum(sampling.count for sampling in phase.samples)
        rows += given_rows(policies[str(phase.start_from)].folder, table, count, rollout.thinking, template, day)
    rows.sort(key=lambda row: (row["row_id"], row["sample"]))
    lengths = answer_lengths(next(iter(policies.values())).folder, rows, rollout.thinking)
    return work.publish({ROLLOUTS: rows}, _metrics(rows, lengths))


def _batches(
    call: Call[RolloutStep],
    phase: Phase,
    samplers: Samplers,
    policies: dict[str, LocalPolicy],
    prompts: list[Prompt],
    done: int,
) -> Iterator[list[Rollout]]:
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
            yield from samplers.rows(
                mixture,
                work[done * size :],
                role=sampling.role,
                temperature=sampling.temperature,
                seed=(call.settings.run.seed, call.iteration, call.phase),
            )
        done = max(0, done - -(-len(work) // size))
        first += sampling.count


def _metrics(rows: list[Rollout], lengths: list[int]) -> dict[str, float]:
    return {
        "prompts": len({row["row_id"] for row in rows}),
        "responses": sum(row["role"] != "given" for row in rows),
        **tokens_of(rows),
        "mean_length": sum(lengths) / len(rows),
        "finished": sum(row["finish"] == "stop" for row in rows) / len(rows),
        "distinct": len({(row["row_id"], row["text"]) for row in rows}) / len(rows),
    }
