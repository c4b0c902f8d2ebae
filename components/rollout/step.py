"""Sample K responses per prompt from the policies that the phase names, and add those that come with the prompt."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import chain, groupby, islice
from pathlib import Path

from ..core.settings import named_by
from ..iterations.work import AtWork, Work
from ..methods import phase_of
from ..methods.phases import Phase
from ..models.policies import LocalPolicy, open_policy
from ..runtime.artifacts import records_artifact
from ..runtime.progress import over
from ..runtime.protocol import Call, Result
from ..sampling.rollouts import Samplers, answer_length, given_rows, tokens_of
from ..storage import layout
from ..storage.records import PROMPTS, ROLLOUTS, Rollout
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
    rollout, template, day, journal = call.settings.rollout, call.settings.policy, date_of(call.store), work.journal
    count, each = prompts.files[PROMPTS.name].rows or 0, sum(sampling.count for sampling in phase.samples)
    with Samplers(rollout, template=template, day=day) as samplers:
        done = sum(map(len, journal))
        batches = _batches(call, phase, samplers, policies, prompts, done)
        for batch in over(batches, "responses", count * each, done, tokens_of):
            journal.append(batch)
    figures = Figures(answer_length(next(iter(policies.values())).folder, rollout.thinking))
    sources = list(_kept(work, phase, count))
    if phase.given:
        folder, given = policies[str(phase.start_from)].folder, prompts.stream(call.store, PROMPTS)
        sources.append(chain(given_rows(folder, given, each, rollout.thinking, template, day)))
    rows = merge(*sources, key=lambda row: (row["row_id"], row["sample"]))
    files = work.unit.write_records({ROLLOUTS: figures.counted(rows)})
    return work.unit.publish(files, figures.metrics(), work.started)


def _kept(work: Work, phase: Phase, prompts: int) -> Iterator[Iterator[Rollout]]:
    """The journal's rows, sampling by sampling."""
    first = 0
    for sampling in phase.samples:
        end = first + prompts * sampling.count
        yield islice(chain.from_iterable(work.journal), first, end)
        first = end


def _batches(
    call: Call[RolloutStep],
    phase: Phase,
    samplers: Samplers,
    policies: dict[str, LocalPolicy],
    prompts: Manifest,
    done: int,
) -> Iterator[list[Rollout]]:
    """The rows after the first `done`, in canonical order: sampling by sampling, prompt by prompt."""
    size, first, count = call.settings.rollout.batch_size, 0, prompts.files[PROMPTS.name].rows or 0
    for sampling in phase.samples:
        indices = range(first, first + sampling.count)
        mixture: dict[Path, float] = {}
        for name, weight in sampling.weights.items():
            # Equal policies may lie in one folder.
            folder = policies[name].folder
            mixture[folder] = mixture.get(folder, 0.0) + weight
        work = ((prompt, index) for prompt in prompts.stream(call.store, PROMPTS) for index in indices)
        rest = islice(work, done, None)
        while piece := list(islice(rest, size * max(1, _TOGETHER // size))):
            yield from samplers.rows(
                mixture,
                piece,
                role=sampling.role,
                temperature=sampling.temperature,
                seed=(call.settings.run.seed, call.iteration, call.phase),
            )
        done = max(0, done - count * sampling.count)
        first += sampling.count


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
