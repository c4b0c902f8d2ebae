"""Ask the oracle, play the tournaments, choose pairs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from ..iterations.work import AtWork, Work
from ..methods import phase_of
from ..oracles.referee import COUNTS, Judged, PromptSamples, Rules, Sample, judge
from ..oracles.usage import total_usage, used_since
from ..runtime.artifacts import records_artifact
from ..runtime.progress import Progress
from ..runtime.protocol import Call, Result
from ..storage import layout
from ..storage.records import COMPARISONS, PAIRS, PROMPTS, ROLLOUTS
from ..storage.run import date_of
from ..storage.units import Manifest, Unit, require_manifest
from .settings import JudgingStep

SETTINGS = JudgingStep
VERSION = 3
OUTPUTS = ("comparisons", "pairs")


def run(call: Call[JudgingStep]) -> Result:
    """Judge the rollouts of one shard: its comparisons and pairs."""
    prompts = require_manifest(call.store, layout.prompts(call.iteration, call.shard))
    rollouts = require_manifest(call.store, layout.shard(call.iteration, call.phase, "rollouts", call.shard))
    unit = Unit(
        call.store,
        layout.shard(call.iteration, call.phase, "pairs", call.shard),
        VERSION,
        call.settings.model_dump(mode="json"),
        {
            "prompts": prompts.digest,
            "rollouts": rollouts.digest,
            "oracle": call.settings.oracle.digest(),
            "date": date_of(call.store),
        },
    )
    manifest, found = AtWork(call, f"{call.phase}/judging").carry_out(
        unit, lambda work: _judge(call, work, list(_prompt_samples(call, prompts, rollouts)))
    )
    artifacts = {record.name: records_artifact(call.store, manifest, record) for record in (COMPARISONS, PAIRS)}
    return Result(manifest, found, artifacts)


def _judge(call: Call[JudgingStep], work: Work, prompts: list[PromptSamples]) -> Manifest:
    entries = work.journal.entries
    for judged, used in _judged(call, prompts, entries):
        entry = {"comparisons": judged.comparisons, "pairs": judged.pairs, "counts": {**judged.counts, **used}}
        work.journal.append(entry)
    rows = {record: [row for entry in entries for row in entry[record.name]] for record in (COMPARISONS, PAIRS)}
    counts = sum((Counter(entry["counts"]) for entry in entries), Counter[str]())
    return work.publish(rows, {**dict.fromkeys(COUNTS, 0), **counts})


def _prompt_samples(call: Call[JudgingStep], prompts: Manifest, rollouts: Manifest) -> Iterator[PromptSamples]:
    """Every prompt with its responses, in order."""
    messages = {row["row_id"]: row["messages"] for row in prompts.rows(call.store, PROMPTS)}
    for row_id, group in groupby(rollouts.rows(call.store, ROLLOUTS), key=lambda row: row["row_id"]):
        mine = list(group)
        samples = [Sample(row["text"], row["response_ids"]) for row in mine]
        yield PromptSamples(row_id, messages[row_id], mine[0]["prompt_ids"], samples)


def _judged(
    call: Call[JudgingStep], work: list[PromptSamples], entries: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Judged, dict[str, float]]]:
    """The micro-batches of prompts that the journal's entries lack, each with what the oracle has used for it."""
    settings, done = call.settings, len(entries)
    phase = phase_of(settings.method, call.iteration, call.phase)
    size = settings.judging.batch_prompts
    if not work[done * size :]:
        return
    rules = Rules(phase.labels, settings.run.seed, settings.judging.drop_identical, phase.margin)
    oracle = settings.oracle.dated(date_of(call.store)).load(call.store) if phase.samples else None
    signature = settings.oracle.signature if phase.samples else ""
    with Progress("prompts", len(work), done * size) as progress:
        for at in range(done * size, len(work), size):
            batch = work[at : at + size]
            before = dict(oracle.usage) if oracle else {}
            judged = judge(batch, phase.comparisons, rules, oracle, signature)
            used = used_since(oracle, before) if oracle else {}
            yield judged, used
            so_far = total_usage(entry["counts"] for entry in entries)
            progress.add(len(batch), so_far, oracle_calls=judged.counts["oracle_calls"])
