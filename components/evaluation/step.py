"""Measure an iteration's policy on the benchmarks; then tell the tracker and tidy up: the iteration is done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain

from ..benchmarks import groups_at
from ..benchmarks.base import Bench, Benchmark, BenchmarkSettings, FolderBenchmark, Responses, Subject
from ..benchmarks.questions import QuestionBenchmark
from ..core.errors import UserError
from ..core.settings import named_by, nearest
from ..iterations.retention import retain
from ..iterations.tracked import catch_up, combined
from ..iterations.work import AtWork, Work
from ..measuring.answering import Policy
from ..measuring.stages import Done, Stages, measure_folder, publish
from ..methods.phases import REFERENCE
from ..models.folders import Load, load_causal_lm
from ..models.policies import LocalPolicy, open_policy
from ..oracles.base import Oracle
from ..oracles.journalled import JournalledOracle
from ..oracles.oracle_settings import OracleSettings
from ..oracles.unanswered import waiting
from ..reports.benchmarks.files import policy_files, read_policy
from ..runtime.artifacts import Artifact, metrics_artifact
from ..runtime.progress import over
from ..runtime.protocol import Call, Result
from ..sampling.rollouts import Role, Samplers, in_order, tokens_of, unfinished
from ..storage import layout
from ..storage.records import PROMPTS, ROLLOUTS
from ..storage.run import date_of, require_run
from ..storage.units import Manifest, Unit, require_manifest
from .settings import EvaluationStep

SETTINGS = EvaluationStep
VERSION = 3
OUTPUTS = ("scores", "report")
_ROLES: dict[Responses, Role] = {"responses": "pair", "opponents": "opponent"}


def run(call: Call[EvaluationStep]) -> Result:
    """Evaluate the policy of an iteration, at 0 that which training starts from, on the benchmarks of the call's group.

    The group is the call's phase; see `groups_at`.
    """
    load, recipe = cache(load_causal_lm), call.settings
    benchmarks, last = recipe.evaluation.benchmarks, recipe.run.iterations
    groups = groups_at(benchmarks, recipe.rollout.engine.runtime, call.iteration, last)
    if call.phase not in groups:
        raise UserError(f"--phase: no benchmark runs in {call.phase!r}{nearest(call.phase, groups)}")
    with Samplers(recipe.rollout, load, recipe.policy, date_of(call.store)) as samplers:
        evaluation = _Evaluation(call, samplers, load, AtWork(call, f"{call.phase}/evaluation".lstrip("/")))
        done = [each for benchmark in groups[call.phase] for each in evaluation.measured(benchmark)]
        if not call.phase:
            others = (benchmark for group, members in groups.items() if group for benchmark in members)
            done += [evaluation.responses(which) for benchmark in others for which in benchmark.reads]
    skipped = all(found for _, found in done)
    last_group = call.phase == list(groups)[-1]
    said = [each for group, members in groups.items() if last_group or group == call.phase for each in members]
    page = _reported(call, said, f"{layout.BENCHMARKS}/{call.iteration:03d}" if last_group else "", skipped=skipped)
    if last_group:
        catch_up(call.store, call.iteration)
        retain(call.store, call.iteration)
    distinct = {manifest.unit: manifest for manifest, _ in done}  # judges of one benchmark share its answers
    figures = combined([*distinct.values()])
    artifacts = {"scores": metrics_artifact(figures), "report": page}
    return Result(skipped=skipped, figures=figures, artifacts=artifacts)


def _reported(
    call: Call[EvaluationStep], benchmarks: Sequence[BenchmarkSettings], key: str, *, skipped: bool
) -> Artifact:
    """The page on what benchmarks say of the policy; with a key it is kept in the store too, with its JSON."""
    store, page = call.store, f"{key}.html"
    place = {"uri": store.location(page)} if key else {}
    if skipped and key and store.exists(page):
        return Artifact(store.read(page), place)
    files = policy_files(read_policy(store, require_run(store), call.iteration, benchmarks))
    for end, data in files.items() if key else ():
        store.write(f"{key}{end}", data)
    return Artifact(files[".html"], place)


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
        return open_policy(self.call.store, str(self.call.settings.method.pi_ref))

    @cached_property
    def start(self) -> LocalPolicy:
        return open_policy(self.call.store, str(REFERENCE))

    @cached_property
    def stages(self) -> Stages:
        call, samplers = self.call, self.samplers
        policy = Policy(samplers, self.policy, call.settings.run, call.settings.policy)
        return Stages(call.store, call.iteration, self.at_work, policy, self.oracle, samplers.day)

    @property
    def subject(self) -> Subject:
        """The policy, for benchmarks that measure any model folder."""
        recipe = self.call.settings
        return Subject(
            policy=self.policy, rollout=recipe.rollout, template=recipe.policy, day=self.samplers.day, load=self.load
        )

    def measured(self, benchmark: BenchmarkSettings) -> list[Done]:
        """The units of a benchmark."""
        if isinstance(benchmark, QuestionBenchmark):
            return self.stages.carry_out(benchmark)
        if isinstance(benchmark, FolderBenchmark):
            self.samplers.close()  # it opens the policy by itself
            return [
                measure_folder(
                    self.call.store, self.call.iteration, self.at_work, benchmark, self.subject, self.call.settings.run
                )
            ]
        assert isinstance(benchmark, Benchmark), "there are no others"
        return [self.benchmark(benchmark)]

    def benchmark(self, benchmark: Benchmark) -> Done:
        """The unit of a benchmark that measures at once."""
        read = {which: self.responses(which)[0] for which in benchmark.reads}
        policies = {"policy": self.policy.digest, "reference": self.reference.digest}
        if self.call.settings.method.reference_apart:
            policies["start"] = self.start.digest
        inputs = {"prompts": self.prompts.digest, "date": self.samplers.day, **policies}
        inputs.update((which, manifest.digest) for which, manifest in read.items())
        inputs |= named_by(benchmark=benchmark)
        bench = self._bench(read)
        settings = {
            "run": self.call.settings.run.identity(),
            "benchmark": benchmark.identity(),
            "depends_on": benchmark.depends_on(bench),
        }
        unit = Unit(
            self.call.store, layout.evaluation(self.call.iteration, benchmark.name), benchmark.version, settings, inputs
        )
        return self.at_work.carry_out(unit, lambda work: self._measure(work, benchmark, bench))

    def responses(self, which: Responses) -> Done:
        """Responses to the held-out prompts, and whether they were there; the reference's are made at iteration 0."""
        made_at = self.call.iteration if which == "responses" else 0
        key = layout.evaluation(made_at, which)
        if made_at != self.call.iteration or self.call.phase:
            return require_manifest(self.call.store, key), True
        recipe = self.call.settings
        settings = {
            "run": recipe.run.identity(),
            "rollout": recipe.rollout.model_dump(mode="json"),
            "template": recipe.policy.model_dump(mode="json"),
            "samples": recipe.evaluation.samples,
            "temperature": recipe.evaluation.temperature,
        }
        policy = self._sampled(which)
        inputs = {"prompts": self.prompts.digest, "policy": policy.digest, "date": self.samplers.day}
        inputs |= named_by(sampler=recipe.rollout.engine)
        unit = Unit(self.call.store, key, VERSION, settings, inputs)
        return self.at_work.carry_out(unit, lambda work: self._sample(work, which))

    def _sampled(self, which: Responses) -> LocalPolicy:
        return self.policy if which == "responses" else self.reference

    def _sample(self, work: Work, which: Responses) -> Manifest:
        """One rollout row for each held-out prompt and sample."""
        recipe, role, journal = self.call.settings, _ROLES[which], work.journal
        prompts = self.prompts.rows(self.call.store, PROMPTS)
        todo = [(prompt, index) for prompt in prompts for index in range(recipe.evaluation.samples)]
        batches = self.samplers.sampled(
            {self._sampled(which).folder: 1.0},
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
            start=self.start,
            prompts=self.prompts.rows(store, PROMPTS),
            responses={which: manifest.rows(store, ROLLOUTS) for which, manifest in read.items()},
            method=recipe.method,
            oracle=self.oracle,
            judge=self.judge,
            rollout=recipe.rollout,
            template=recipe.policy,
            day=self.samplers.day,
            logprobs=recipe.logprobs,
            evaluation=recipe.evaluation,
            load=self.load,
        )

    def _journalled(self, work: Work, benchmark: Benchmark) -> Oracle:
        settings = next(iter(benchmark.oracles), None)
        oracle = settings.dated(self.samplers.day).load(self.call.store) if settings else self.judge()
        fills = (settings or self.oracle).fills
        return JournalledOracle(oracle, fills, work.journal, work.unit.name)

    def _measure(self, work: Work, benchmark: Benchmark, bench: Bench) -> Manifest:
        self.samplers.close()  # a judge may need the accelerator's memory
        with waiting(self.call.store, f"evaluation-{self.call.iteration:03d}-{benchmark.name.replace('/', '-')}"):
            measured = benchmark.measure(replace(bench, judge=cache(lambda: self._journalled(work, benchmark))))
        return publish(work, benchmark, measured, {figure.name for figure in benchmark.measures(self.oracle)})
