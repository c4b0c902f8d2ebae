"""Sample K responses per prompt from the policies that the phase names, and add those that come with the prompt."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import chain, groupby, islice
from pathlib import Path

from ..core.settings import named_by
from ..iterations.work import AtWork, Work
from ..methods import phase_of
from ..methods.phases import Phase, Sampling
from ..models.policies import LocalPolicy, open_policy
from ..runtime.artifacts import records_artifact
from ..runtime.progress import over
from ..runtime.protocol import Call, Result
from ..sampling.rollouts import Samplers, answer_length, given_rows, in_order, tokens_of, unfinished
from ..storage import layout
from ..storage.journal import Journal
from ..storage.records import PROMPTS, ROLLOUTS, Prompt, Rollout
from ..storage.run import date_of
from ..storage.units import Manifest, Unit, require_manifest
from .settings import RolloutStep

SETTINGS = RolloutStep
VERSION = 1
OUTPUTS = ("responses",)
_TOGETHER = 4096
"""Samples that are given to the sampler at a time, in whole micro-batches."""


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
            **{name: policy.digest for name, policy in policies.items()},
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
    rollout, template, day, journal = call.settings.rollout, call.settings.policy, date_of(call.store), work.journal
    count, each = prompts.files[PROMPTS.name].rows or 0, sum(sampling.count for sampling in phase.samples)
    with Samplers(rollout, template=template, day=day) as samplers:
        batches = _batches(call, phase, samplers, policies, prompts, journal)
        for batch in over(batches, "responses", count * each, sum(map(len, journal)), tokens_of):
            journal.append(batch)
    figures = Figures(answer_length(next(iter(policies.values())).folder, rollout.thinking))
    sources = [in_order(_rows(journal, part), _asked(call, prompts, part)) for _, part in _parts(phase)]
    if phase.given:
        folder, given = policies[str(phase.start_from)].folder, prompts.stream(call.store, PROMPTS)
        sources.append(given_rows(folder, given, each, rollout.thinking, template, day))
    rows = merge(*sources, key=lambda row: (row["row_id"], row["sample"]))
    files = work.unit.write_records({ROLLOUTS: figures.counted(rows)})
    return work.unit.publish(files, figures.metrics(), work.started)


def _parts(phase: Phase) -> Iterator[tuple[Sampling, range]]:
    """What is sampled, each with its sample indices."""
    first = 0
    for sampling in phase.samples:
        yield sampling, range(first, first + sampling.count)
        first += sampling.count


def _asked(call: Call[RolloutStep], prompts: Manifest, part: range) -> Iterator[tuple[Prompt, int]]:
    """The work of a part, prompt by prompt."""
    return ((prompt, index) for prompt in prompts.stream(call.store, PROMPTS) for index in part)


def _rows(entries: Iterable[list[Rollout]], part: range) -> Iterator[Rollout]:
    """The rows of a part in the journal's entries."""
    # Chained, an entry is gone before the next one is read.
    return (row for row in chain.from_iterable(entries) if row["sample"] in part)


def _batches(
    call: Call[RolloutStep],
    phase: Phase,
    samplers: Samplers,
    policies: dict[str, LocalPolicy],
    prompts: Manifest,
    journal: Journal,
) -> Iterator[list[Rollout]]:
    """The rows that earlier attempts have not left in the journal: part by part, prompt by prompt, as they come."""
    size, earlier = call.settings.rollout.batch_size, len(journal)
    for sampling, part in _parts(phase):
        mixture: dict[Path, float] = {}
        for name, weight in sampling.weights.items():
            # Equal policies may lie in one folder.
            folder = policies[name].folder
            mixture[folder] = mixture.get(folder, 0.0) + weight
        rest = unfinished(_asked(call, prompts, part), _rows(journal.read(0, earlier), part))
        while piece := list(islice(rest, size * max(1, _TOGETHER // size))):
            yield from samplers.sampled(
                mixture,
                piece,
                role=sampling.role,
                temperature=sampling.temperature,
                seed=(call.settings.run.seed, call.iteration, call.phase),
            )


class Figures:
    """The figures of rollouts, counted while their rows pass by, in order of their prompts.

    `identical`: responses whose text another one of their prompt has had; `empty`: those without text; `cut`: those
    without an end; `recorded`: those whose log-probability the sampler gives, if it gives any.
    """

    def __init__(self, length: Callable[[Rollout], int]) -> None:
        """`length` counts the tokens of an answer."""
        self._length, self._counts = length, Counter[str]()

    def counted(self, rows: Iterable[Rollout]) -> Iterator[Rollout]:
        """The same rows."""
        for _, group in groupby(rows, key=lambda row: row["row_id"]):
            mine = list(group)
            distinct = len({row["text"] for row in mine})
            self._counts.update(
                prompts=1,
                rows=len(mine),
                responses=sum(row["role"] != "given" for row in mine),
                **tokens_of(mine),
                length=sum(map(self._length, mine)),
                finished=sum(row["finish"] == "stop" for row in mine),
                distinct=distinct,
                identical=len(mine) - distinct,
                empty=sum(not row["text"].strip() for row in mine),
                cut=sum(row["finish"] == "length" for row in mine),
                recorded=sum(bool(row["logprob"]) for row in mine),
            )
            yield from mine

    def metrics(self) -> dict[str, float]:
        """Of all rows that have passed."""
        counts = self._counts
        return {
            "prompts": counts["prompts"],
            "responses": counts["responses"],
            "tokens": counts["tokens"],
            "mean_length": counts["length"] / counts["rows"],
            "finished": counts["finished"] / counts["rows"],
            "distinct": counts["distinct"] / counts["rows"],
            "identical": counts["identical"],
            "empty": counts["empty"],
            "cut": counts["cut"],
            **({"recorded": counts["recorded"]} if counts["recorded"] else {}),
        }
