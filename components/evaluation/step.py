"""Measure an iteration's policy on the benchmarks; then tell the tracker and tidy up: the iteration is done."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain

from ..benchmarks import groups_of
from ..benchmarks.base import Bench, Benchmark, Responses
from ..core.errors import UserError
from ..core.settings import named_by, nearest
from ..iterations.retention import retain
from ..iterations.tracked import combined, track_iteration
from ..iterations.work import AtWork, Work
from ..models.folders import Load, load_causal_lm
from ..models.policies import LocalPolicy, open_policy
from ..oracles.base import Oracle
from ..oracles.journalled import JournalledOracle
from ..oracles.oracle_settings import OracleSettings
from ..oracles.unanswered import waiting
from ..runtime.artifacts import metrics_artifact
from ..runtime.progress import over
from ..runtime.protocol import Call, Result
from ..sampling.rollouts import Role, Samplers, in_order, tokens_of, unfinished
from ..storage import layout
from ..storage.records import PROMPTS, ROLLOUTS
from ..storage.run import date_of
from ..storage.units import Manifest, Unit, require_manifest
from .settings import EvaluationStep

SETTINGS = EvaluationStep
VERSION = 3
OUTPUTS = ("scores",)
_REFERENCE = "000/main"
_ROLES: dict[Responses, Role] = {"responses": "pair", "opponents": "opponent"}


def run(call: Call[EvaluationStep]) -> Result:
    """Evaluate the policy of an iteration, or the reference (iteration 0), on the benchmarks of the call's group.

    The group is the call's phase; see `groups_of`.
    """
    load, recipe = cache(load_causal_lm), call.settings
    groups = groups_of(recipe.evaluation.benchmarks, recipe.rollout.engine.runtime)
    if call.phase not in groups:
        raise UserError(f"--phase: no benchmark runs in {call.phase!r}{nearest(call.phase, groups)}")
    with Samplers(recipe.rollout, load, recipe.policy, date_of(call.store)) as samplers:
        evaluation = _Evaluation(call, samplers, load, AtWork(call, f"{call.phase}/evaluation".lstrip("/")))
        done = [evaluation.benchmark(benchmark) for benchmark in groups[call.phase]]
        if not call.phase:
            others = (benchmark for group, members in groups.items() if group for benchmark in members)
            done += [evaluation.responses(which) for benchmark in others for which in benchmark.reads]
    if call.phase == list(groups)[-1]:
        track_iteration(call.store, call.iteration)
        retain(call.store, call.iteration)
    figures = combined([manifest for manifest, _ in done])
    skipped = all(found for _, found in done)
    return Result(skipped=skipped, figures=figures, artifacts={"scores": metrics_artifact(figures)})


@dataclass(frozen=True)
class _Evaluation:
    """Runs the benchmarks of one policy, each as its own unit of work, and samples the responses that they share."""

    call: Call[EvaluationStep]
    samplers: Samplers
    load: Load
    at_work: AtWork

    @cached_property
    def judge(self) -> Callable[[], Oracle]:
        oracle = self.oracle.dated(self.samplers.day)
        return cache(lambda: oracle.load(self.call.store))

    @cached_property
    def oracle(self) -> OracleSettings:
        return self.call.settings.oracle.made_in(self.call.store)

    @cached_property
    def prompts(self) -> Manifest:
        return require_manifest(self.call.store, layout.held_out())

    @cached_property
    def policy(self) -> LocalPolicy:
        return open_policy(self.call.store, f"{self.call.iteration:03d}/main")

    @cached_property
    def reference(self) -> LocalPolicy:
        return open_policy(self.call.store, _REFERENCE)

    def benchmark(self, benchmark: Benchmark) -> tuple[Manifest, bool]:
        """The manifest of a benchmark, and whether it was found finished."""
        read = {which: self.responses(which)[0] for which in benchmark.reads}
        policies = {"policy": self.policy.weights_digest, "reference": self.reference.weights_digest}
        inputs = {"prompts": self.prompts.digest, "date": self.samplers.day, **policies}
        inputs.update((which, manifest.digest) for which, manifest in read.items())
        inputs |= named_by(benchmark=benchmark)
        bench = self._bench(read)
        settings = {
            "run": self.call.settings.run.model_dump(mode="json"),
            "benchmark": benchmark.model_dump(mode="json"),
            "depends_on": benchmark.depends_on(bench),
        }
        unit = Unit(
            self.call.store, layout.evaluation(self.call.iteration, benchmark.kind), benchmark.version, settings, inputs
        )
        return self.at_work.carry_out(unit, lambda work: self._measure(work, benchmark, bench))

    def responses(self, which: Responses) -> tuple[Manifest, bool]:
        """Responses to the held-out prompts, and whether they were there; the reference's are made at iteration 0."""
        made_at = self.call.iteration if which == "responses" else 0
        key = layout.evaluation(made_at, which)
        if made_at != self.call.iteration or self.call.phase:
            return require_manifest(self.call.store, key), True
        recipe = self.call.settings
        settings = {
            "run": recipe.run.model_dump(mode="json"),
            "rollout": recipe.rollout.model_dump(mode="json"),
            "template": recipe.policy.model_dump(mode="json"),
            "samples": recipe.evaluation.samples,
            "temperature": recipe.evaluation.temperature,
        }
        inputs = {"prompts": self.prompts.digest, "policy": self.policy.weights_digest, "date": self.samplers.day}
        inputs |= named_by(sampler=recipe.rollout.engine)
        unit = Unit(self.call.store, key, VERSION, settings, inputs)
        return self.at_work.carry_out(unit, lambda work: self._sample(work, which))

    def _sample(self, work: Work, which: Responses) -> Manifest:
        """One rollout row for each held-out prompt and sample."""
        recipe, role, journal = self.call.settings, _ROLES[which], work.journal
        prompts = self.prompts.rows(self.call.store, PROMPTS)
        todo = [(prompt, index) for prompt in prompts for index in range(recipe.evaluation.samples)]
        batches = self.samplers.sampled(
            {self.policy.folder: 1.0},
            list(unfinished(todo, chain.from_iterable(journal))),
            role=role,
            temperature=recipe.evaluation.temperature,
            seed=(recipe.run.seed, "evaluation", self.call.iteration, role),
        )
        for batch in over(batches, "responses", len(todo), sum(map(len, journal)), tokens_of):
            journal.append(batch)
        return work.publish({ROLLOUTS: in_order(chain.from_iterable(journal), todo)}, {})

    def _bench(self, read: dict[Responses, Manifest]) -> Bench:
        recipe, store = self.call.settings, self.call.store
        return Bench(
            iteration=self.call.iteration,
            policy=self.policy,
            reference=self.reference,
            prompts=self.prompts.rows(store, PROMPTS),
            responses={which: manifest.rows(store, ROLLOUTS) for which, manifest in read.items()},
            method=recipe.method,
            oracle=self.oracle,
            judge=self.judge,
            rollout=recipe.rollout,
            logprobs=recipe.logprobs,
            evaluation=recipe.evaluation,
            load=self.load,
        )

    def _journalled(self, work: Work) -> Oracle:
        return JournalledOracle(self.judge(), self.call.settings.oracle.fills, work.journal, work.unit.name)

    def _measure(self, work: Work, benchmark: Benchmark, bench: Bench) -> Manifest:
        self.samplers.close()  # a judge may need the accelerator's memory
        with waiting(self.call.store, f"evaluation-{self.call.iteration:03d}-{benchmark.kind}"):
            measured = benchmark.measure(replace(bench, judge=cache(lambda: self._journalled(work))))
        declared = {figure.name for figure in benchmark.figures}
        if unknown := sorted(measured.figures.keys() - declared):
            raise ValueError(f"benchmark {benchmark.kind} measured {', '.join(unknown)}, which its figures lack")
        return work.publish(measured.records, {**measured.figures, **measured.usage})
