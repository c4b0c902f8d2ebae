"""Ask the oracle, play the tournaments, choose pairs."""

import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from ..methods import phase_of
from ..methods.at_work import begin
from ..runtime.artifacts import records_artifact
from ..runtime.progress import Progress
from ..runtime.protocol import Call, Result
from ..storage import layout, records
from ..storage.journal import Journal, discard
from ..storage.units import Manifest, Unit, require_manifest
from .referee import COUNTS, Judged, PromptSamples, Rules, Sample, judge
from .settings import JudgingStep

SETTINGS = JudgingStep
VERSION = 2
OUTPUTS = ("comparisons", "pairs")


def run(call: Call[JudgingStep]) -> Result:
    """Judge the rollouts of one shard: its comparisons and pairs."""
    prompts = require_manifest(call.store, layout.prompts(call.iteration, call.shard))
    rollouts = require_manifest(call.store, layout.shard(call.iteration, call.phase, "rollouts", call.shard))
    oracle_digest = call.settings.oracle.digest()
    unit = Unit(
        call.store,
        layout.shard(call.iteration, call.phase, "pairs", call.shard),
        VERSION,
        call.settings.model_dump(mode="json"),
        {"prompts": prompts.digest, "rollouts": rollouts.digest, "oracle": oracle_digest},
    )
    if manifest := unit.finished():
        discard(unit)
        return _result(call, manifest, skipped=True)
    begun = begin(call, f"{call.phase}/judging")
    started = time.time()
    work = list(_prompt_samples(call, prompts, rollouts))
    with Journal(unit) as journal:
        for judged in _judged(call, work, len(journal.entries)):
            journal.append({"comparisons": judged.comparisons, "pairs": judged.pairs, "counts": judged.counts})
    tables = {
        kind: (records.table([row for entry in journal.entries for row in entry[kind]], schema), schema)
        for kind, schema in (("comparisons", records.COMPARISONS), ("pairs", records.PAIRS))
    }
    counts = sum((Counter(entry["counts"]) for entry in journal.entries), Counter[str]())
    manifest = unit.publish_records(tables, {name: counts[name] for name in COUNTS}, started)
    begun.end(manifest)
    discard(unit)
    return _result(call, manifest)


def _result(call: Call[JudgingStep], manifest: Manifest, skipped: bool = False) -> Result:
    return Result(manifest, skipped, {kind: records_artifact(call.store, manifest, kind) for kind in OUTPUTS})


def _prompt_samples(call: Call[JudgingStep], prompts: Manifest, rollouts: Manifest) -> Iterator[PromptSamples]:
    """Every prompt with its responses, in order."""
    messages = {
        row["row_id"]: row["messages"] for row in prompts.table(call.store, "prompts", records.PROMPTS).to_pylist()
    }
    rows = rollouts.table(call.store, "rollouts", records.ROLLOUTS).to_pylist()
    for row_id, group in groupby(rows, key=lambda row: row["row_id"]):
        mine: list[dict[str, Any]] = list(group)
        samples = [Sample(row["text"], row["response_ids"]) for row in mine]
        yield PromptSamples(row_id, messages[row_id], mine[0]["prompt_ids"], samples)


def _judged(call: Call[JudgingStep], work: list[PromptSamples], done: int) -> Iterator[Judged]:
    """The micro-batches of prompts after the first `done`."""
    settings = call.settings
    phase = phase_of(settings.method, call.iteration, call.phase)
    size = settings.judging.batch_prompts
    if not work[done * size :]:
        return
    rules = Rules(phase.labels, settings.run.seed, settings.judging.drop_identical, phase.margin)
    oracle = settings.oracle.load() if phase.samples else None
    with Progress("prompts", len(work), done * size) as progress:
        for at in range(done * size, len(work), size):
            batch = work[at : at + size]
            judged = judge(batch, phase.comparisons, rules, oracle)
            progress.add(len(batch), oracle_calls=judged.counts["oracle_calls"])
            yield judged
