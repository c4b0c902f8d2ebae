"""The units of work of a run's iterations."""

from dataclasses import dataclass

from ..benchmarks import AnyBenchmark, groups_at
from ..benchmarks.base import BenchmarkSettings
from ..core.runtimes import Runtime
from ..core.settings import Part
from ..methods import AnyMethod
from ..methods.base import Method
from ..methods.phases import REFERENCE
from ..runtime.protocol import StepPrompts
from ..sampling.settings import GenerationSettings
from ..storage import layout
from ..storage.run import Run

_EVALUATION, _JUDGES = "evaluation", "judge_training"


class _Evaluation(Part):
    benchmarks: tuple[AnyBenchmark, ...]


class _Promotion(Part):
    model: str = ""
    dry_run: bool = False


class _Sections(Part):
    method: AnyMethod
    prompts: StepPrompts
    rollout: GenerationSettings = GenerationSettings()
    evaluation: _Evaluation
    promotion: _Promotion = _Promotion()


@dataclass(frozen=True)
class Shape:
    """The part of a recipe that determines the units of work."""

    method: Method
    shards: int
    benchmarks: tuple[BenchmarkSettings, ...]
    sampling: Runtime = "steps"
    """The runtime of the engine that samples."""
    judges: tuple[str, ...] = ()
    """The judges that the run fits, by their names."""
    last: int = 0
    """The last iteration, which every benchmark measures."""
    promotes: bool = False
    """Whether a policy of the run may become the champion of a registered model, in no dry run."""

    @classmethod
    def of(cls, run: Run) -> "Shape":
        """The shape of a run."""
        read = _Sections.parse(run.recipe, layout.RUN)
        sampling, last = read.rollout.engine.runtime, int(run.recipe["run"]["iterations"])
        benchmarks, promotes = read.evaluation.benchmarks, bool(read.promotion.model) and not read.promotion.dry_run
        return cls(read.method, read.prompts.shards, benchmarks, sampling, tuple(run.judges), last, promotes)

    def units(self, iteration: int) -> dict[str, list[str]]:
        """The units by `<phase>/<step>` in execution order, and `evaluation` if anything is measured; iteration 0 has
        only the latter, and the judges that the run fits.

        Benchmarks with their own runtime are `<runtime>/evaluation`.
        """
        phases = self.method.phases(iteration) if iteration else ()
        units: dict[str, list[str]] = {}
        if self.judges and not iteration:
            units[_JUDGES] = self.fitted
        for phase in phases:
            records = {"logprobs": "logprobs"}
            if not phase.data_from:
                records = {"rollout": "rollouts", "judging": "pairs"} | records
            for step, kind in records.items():
                shards = range(self.shards)
                units[f"{phase.name}/{step}"] = [layout.shard(iteration, phase.name, kind, shard) for shard in shards]
            units[f"{phase.name}/training"] = [layout.policy(phase.result.iteration, phase.result.name)]
        for group, benchmarks in groups_at(self.benchmarks, self.sampling, iteration, self.last).items():
            parts = [] if group else self.sampled(iteration)
            parts += dict.fromkeys(part for benchmark in benchmarks for part in benchmark.units(iteration))
            if parts:
                keys = [layout.evaluation(iteration, part) for part in parts]
                units[f"{group}/{_EVALUATION}".lstrip("/")] = keys
        return units

    @property
    def fitted(self) -> list[str]:
        """The units of the judges that the run fits."""
        return [layout.judge(name) for name in self.judges]

    def evaluations(self, iteration: int) -> list[str]:
        """The units of an iteration's evaluation: the responses that it makes, and the benchmarks."""
        return [key for step, keys in self.units(iteration).items() if step.endswith(_EVALUATION) for key in keys]

    def due(self, iteration: int) -> list[BenchmarkSettings]:
        """The benchmarks that measure an iteration."""
        return [benchmark for benchmark in self.benchmarks if benchmark.due(iteration, self.last)]

    def sampled(self, iteration: int) -> list[str]:
        """The responses that benchmarks read and an iteration makes: the reference's, opponents of all, at 0."""
        read = dict.fromkeys(responses for benchmark in self.due(iteration) for responses in benchmark.reads)
        return [responses for responses in read if responses == "responses" or iteration == 0]

    def policies(self, iteration: int) -> list[str]:
        """The units of the policies that an iteration makes, in their order. Iteration 0's are the reference and, where
        that is apart, the policy that training starts from, which is last."""
        if not iteration:
            return [layout.policy(0, name) for name in dict.fromkeys((self.method.pi_ref.name, REFERENCE.name))]
        results = [phase.result for phase in self.method.phases(iteration)]
        return [layout.policy(result.iteration, result.name) for result in results]
