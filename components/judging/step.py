"""Ask the oracle, play the tournaments, choose pairs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import Any

from ..iterations.work import AtWork, Work
from ..methods import phase_of
from ..oracles.oracle_settings import OracleSettings
from ..oracles.referee import COUNTS, PromptSamples, Rules, Sample
from ..oracles.rounds import Asked, Known, Rounds
from ..oracles.unanswered import waiting
from ..oracles.usage import usage_in
from ..runtime.artifacts import records_artifact
from ..runtime.progress import Progress
from ..runtime.protocol import Call, Result
from ..storage import layout
from ..storage.journal import Journal
from ..storage.records import COMPARISONS, PAIRS, PROMPTS, ROLLOUTS, Record
from ..storage.run import date_of, without_endpoints
from ..storage.units import Manifest, Unit, require_manifest
from .reused import judged_before
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
    reused = (
        require_manifest(call.store, layout.reused(call.iteration, call.shard)) if call.settings.judging.reuse else None
    )
    unit = Unit(
        call.store,
        layout.shard(call.iteration, call.phase, "pairs", call.shard),
        VERSION,
        {**settings, "oracle": without_endpoints(settings["oracle"])},
        {
            "prompts": prompts.digest,
            "rollouts": rollouts.digest,
            "date": date_of(call.store),
            **({"reused": reused.digest} if reused else {}),
            **{name: oracle.digest() for name, oracle in oracles.items()},
        },
    )
    manifest, found = AtWork(call, f"{call.phase}/judging").carry_out(
        unit, lambda work: _judge(call, work, oracles, prompts, rollouts, reused)
    )
    artifacts = {record.name: records_artifact(call.store, manifest, record) for record in (COMPARISONS, PAIRS)}
    return Result(manifest, found, artifacts)


@dataclass(frozen=True)
class _SoFar:
    """The work of earlier attempts, by the journal, which has an entry for each call to the oracle."""

    counts: Counter[str]
    ended: int
    """Prompts of which the tournaments have ended."""
    begun: int
    known: list[Known]
    """The verdicts on those in between."""

    @classmethod
    def of(cls, journal: Journal, size: int, prompts: int) -> "_SoFar":
        """`size`: prompts of an entry of earlier versions, which kept tournaments that had ended alone."""
        counts, ended, begun, known = Counter[str](), 0, 0, dict[int, list[Known]]()
        for entry in journal:
            counts += Counter(entry["counts"])
            ended += len(entry["prompts"]) if "prompts" in entry else size
            begun = entry.get("begun", ended)
            for verdict in entry.get("verdicts", ()):
                known.setdefault(verdict["row_id"], []).append(verdict)
            for row_id in entry.get("prompts", ()):
                known.pop(row_id, None)
        return cls(counts, min(ended, prompts), min(begun, prompts), list(chain.from_iterable(known.values())))


def _judge(
    call: Call[JudgingStep],
    work: Work,
    asked: Mapping[str, OracleSettings],
    prompts: Manifest,
    rollouts: Manifest,
    reused: Manifest | None,
) -> Manifest:
    journal, guards = work.journal, call.settings.judging.guards
    signature, count = asked["oracle"].signature, prompts.files[PROMPTS.name].rows or 0
    so_far = _SoFar.of(journal, call.settings.judging.batch_prompts, count)
    counts = so_far.counts
    guards.watch(counts, signature)
    with (
        waiting(call.store, f"judging-{call.iteration:03d}-{call.phase}-{call.shard:05d}"),
        Progress("prompts", count, so_far.ended) as progress,
    ):
        left = islice(_prompt_samples(call, prompts, rollouts), so_far.ended, None)
        for each in _calls(call, asked, left, so_far, work.unit.name, len(journal)):
            mine = {**each.ended.counts, **each.used}
            rows = {"comparisons": each.ended.comparisons, "pairs": each.ended.pairs, "counts": mine}
            journal.append({**rows, "prompts": each.prompts, "begun": each.begun, "verdicts": each.verdicts})
            counts += Counter(mine)
            guards.watch(counts, signature)
            progress.add(len(each.prompts), usage_in(counts), oracle_calls=each.ended.counts["oracle_calls"])

    def rows_of(name: str) -> Iterator[Any]:
        return (row for entry in journal for row in entry[name])

    before = judged_before(call.store, reused, _rules(call)) if reused else None
    records: dict[Record[Any], Iterator[Any]] = {
        COMPARISONS: rows_of("comparisons"),
        PAIRS: chain(rows_of("pairs"), before.pairs if before else ()),
    }
    figures = {"reused": before.counts["comparisons"], "reused_pairs": before.counts["pairs"]} if before else {}
    return work.publish(records, dict.fromkeys(COUNTS, 0) | counts | figures)


def _rules(call: Call[JudgingStep]) -> Rules:
    """How verdicts become pairs in the phase."""
    settings, judging = call.settings, call.settings.judging
    phase = phase_of(settings.method, call.iteration, call.phase)
    return Rules(phase.labels, settings.run.seed, judging.drop_identical, phase.margin, judging.length_ratio)


def _calls(
    call: Call[JudgingStep],
    asked: Mapping[str, OracleSettings],
    left: Iterator[PromptSamples],
    so_far: _SoFar,
    unit: str,
    number: int,
) -> Iterator[Asked]:
    """The calls to the oracle for the prompts that are left, from the `number`-th of the unit on."""
    settings, day = call.settings, date_of(call.store)
    phase, judging = phase_of(settings.method, call.iteration, call.phase), call.settings.judging
    first = next(left, None)
    if first is None:
        return
    oracles = {name: oracle.dated(day).load(call.store) for name, oracle in asked.items() if phase.samples}
    rounds = Rounds(
        chain([first], left),
        phase.comparisons,
        _rules(call),
        oracles.get("oracle"),
        asked["oracle"].signature,
        oracles.get("seeding"),
        together=judging.batch_prompts,
        fill=asked["oracle"].fills,
    )
    rounds.resume(so_far.ended, so_far.begun, so_far.known)
    yield from rounds.calls(unit, number)


def _prompt_samples(call: Call[JudgingStep], prompts: Manifest, rollouts: Manifest) -> Iterator[PromptSamples]:
    """Every prompt with its responses, in order."""
    rows = groupby(rollouts.stream(call.store, ROLLOUTS), key=lambda row: row["row_id"])
    for prompt, (row_id, group) in zip(prompts.stream(call.store, PROMPTS), rows, strict=True):
        if prompt["row_id"] != row_id:
            raise ValueError(f"prompt {prompt['row_id']} is followed by the responses to {row_id}")
        mine = list(group)
        samples = [Sample(row["text"], row["response_ids"]) for row in mine]
        yield PromptSamples(row_id, prompt["messages"], mine[0]["prompt_ids"], samples)
