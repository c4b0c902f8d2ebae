"""Ask the oracle, play the tournaments, choose pairs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain, groupby, islice
from typing import Any

from ..iterations.work import AtWork, Work
from ..methods import phase_of
from ..oracles.oracle_settings import OracleSettings
from ..oracles.referee import COUNTS, Judged, PromptSamples, Rules, Sample, judge, open_questions
from ..oracles.unanswered import Unanswered, waiting
from ..oracles.usage import total_usage, usage_in, used_since
from ..runtime.artifacts import records_artifact
from ..runtime.progress import Progress
from ..runtime.protocol import Call, Result
from ..storage import layout
from ..storage.records import COMPARISONS, PAIRS, PROMPTS, ROLLOUTS
from ..storage.run import date_of, without_endpoints
from ..storage.units import Manifest, Unit, require_manifest
from .settings import JudgingStep

SETTINGS = JudgingStep
VERSION = 3
OUTPUTS = ("comparisons", "pairs")


def run(call: Call[JudgingStep]) -> Result:
    """Judge the rollouts of one shard: its comparisons and pairs."""
    prompts = require_manifest(call.store, layout.prompts(call.iteration, call.shard))
    rollouts = require_manifest(call.store, layout.shard(call.iteration, call.phase, "rollouts", call.shard))
    settings = call.settings.model_dump(mode="json", exclude={"judging": {"guards"}})
    oracles = {name: oracle.made_in(call.store) for name, oracle in call.settings.oracles.items()}
    unit = Unit(
        call.store,
        layout.shard(call.iteration, call.phase, "pairs", call.shard),
        VERSION,
        {**settings, "oracle": without_endpoints(settings["oracle"])},
        {
            "prompts": prompts.digest,
            "rollouts": rollouts.digest,
            "date": date_of(call.store),
            **{name: oracle.digest() for name, oracle in oracles.items()},
        },
    )
    manifest, found = AtWork(call, f"{call.phase}/judging").carry_out(
        unit, lambda work: _judge(call, work, oracles, prompts, rollouts)
    )
    artifacts = {record.name: records_artifact(call.store, manifest, record) for record in (COMPARISONS, PAIRS)}
    return Result(manifest, found, artifacts)


def _judge(
    call: Call[JudgingStep],
    work: Work,
    asked: Mapping[str, OracleSettings],
    prompts: Manifest,
    rollouts: Manifest,
) -> Manifest:
    journal, guards = work.journal, call.settings.judging.guards
    signature = asked["oracle"].signature
    counts = sum((Counter(entry["counts"]) for entry in journal), Counter[str]())
    guards.watch(counts, signature)
    with waiting(call.store, f"judging-{call.iteration:03d}-{call.phase}-{call.shard:05d}"):
        for judged, used in _judged(call, work.unit, asked, prompts, rollouts, len(journal), usage_in(counts)):
            mine = {**judged.counts, **used}
            journal.append({"comparisons": judged.comparisons, "pairs": judged.pairs, "counts": mine})
            counts += Counter(mine)
            guards.watch(counts, signature)

    def rows(name: str) -> Iterator[Any]:
        return (row for entry in journal for row in entry[name])

    records = {record: rows(record.name) for record in (COMPARISONS, PAIRS)}
    return work.publish(records, dict.fromkeys(COUNTS, 0) | counts)


def _prompt_samples(call: Call[JudgingStep], prompts: Manifest, rollouts: Manifest) -> Iterator[PromptSamples]:
    """Every prompt with its responses, in order."""
    rows = groupby(rollouts.stream(call.store, ROLLOUTS), key=lambda row: row["row_id"])
    for prompt, (row_id, group) in zip(prompts.stream(call.store, PROMPTS), rows, strict=True):
        if prompt["row_id"] != row_id:
            raise ValueError(f"prompt {prompt['row_id']} is followed by the responses to {row_id}")
        mine = list(group)
        samples = [Sample(row["text"], row["response_ids"]) for row in mine]
        yield PromptSamples(row_id, prompt["messages"], mine[0]["prompt_ids"], samples)


def _judged(
    call: Call[JudgingStep],
    unit: Unit,
    asked: Mapping[str, OracleSettings],
    prompts: Manifest,
    rollouts: Manifest,
    done: int,
    used_before: Mapping[str, float],
) -> Iterator[tuple[Judged, dict[str, float]]]:
    """The micro-batches of prompts after the first `done`, each with what the oracle has used for it.

    `used_before`: for those first.
    """
    settings, count = call.settings, prompts.files[PROMPTS.name].rows or 0
    phase = phase_of(settings.method, call.iteration, call.phase)
    size = settings.judging.batch_prompts
    if done * size >= count:
        return
    rules = Rules(
        phase.labels,
        settings.run.seed,
        settings.judging.drop_identical,
        phase.margin,
        settings.judging.length_ratio,
    )
    day, signature = date_of(call.store), asked["oracle"].signature
    oracles = {name: oracle.dated(day).load(call.store) for name, oracle in asked.items() if phase.samples}
    dear, cheap = oracles.get("oracle"), oracles.get("seeding")
    rest = islice(_prompt_samples(call, prompts, rollouts), done * size, None)
    with Progress("prompts", count, done * size) as progress:
        while batch := list(islice(rest, size)):
            before = {name: dict(oracle.usage) for name, oracle in oracles.items()}
            for oracle in oracles.values():
                oracle.begin(f"{unit.name}/{done}")
            try:
                judged = judge(batch, phase.comparisons, rules, dear, signature, cheap)
            except Unanswered as unanswered:
                left = open_questions(chain(batch, rest), phase.comparisons, rules, dear, cheap)
                raise Unanswered(left, unanswered.export) from None
            used = total_usage(used_since(oracle, before[name]) for name, oracle in oracles.items())
            yield judged, used
            done += 1
            used_before = total_usage([used_before, used])
            progress.add(len(batch), used_before, oracle_calls=judged.counts["oracle_calls"])
