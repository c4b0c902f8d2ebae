"""The guards on figures of benchmarks: the candidate's are those of its evaluation; the champion is measured alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from ..benchmarks.base import BenchmarkSettings, Figure, FolderBenchmark, Subject
from ..benchmarks.questions import QuestionBenchmark
from ..iterations.tracked import combined
from ..iterations.work import AtWork
from ..measuring.answering import Policy
from ..measuring.stages import Stages, measure_folder
from ..models.folders import load_causal_lm
from ..oracles.oracle_settings import OracleSettings
from ..runtime.protocol import Call
from ..sampling.rollouts import Samplers
from ..storage import layout
from ..storage.store import Store
from ..storage.units import Manifest, require_manifest
from .contest import Side
from .guards import Guard
from .opponent import Opponent
from .settings import PromotionStep


@dataclass(frozen=True)
class Figures:
    """Measures a champion as the run's evaluation has measured the candidate."""

    call: Call[PromotionStep]
    oracle: OracleSettings
    day: str

    def guards(self, iteration: int, opponent: Opponent) -> Iterator[Guard]:
        """One for each figure of `promotion.guards.figures`; the candidate is that of an iteration.

        Raises:
            UserError: a benchmark has not measured the candidate.
        """
        margins = self.call.settings.promotion.guards.figures
        for benchmark in self.call.settings.evaluation.benchmarks:
            guarded = [figure for figure in benchmark.measures(self.oracle) if figure.name in margins]
            if guarded:
                ours, theirs = _evaluated(self.call.store, benchmark, iteration), self._champions(benchmark, opponent)
                yield from (_guard(figure, ours, theirs, margins[figure.name]) for figure in guarded)

    def _champions(self, benchmark: BenchmarkSettings, opponent: Opponent) -> Mapping[str, float]:
        """The figures of the champion; of the reference, those of its evaluation."""
        if opponent.version is None:
            return _evaluated(self.call.store, benchmark, 0)
        store, side = self.call.store.at(opponent.folder), opponent.side(self.call.store)
        return combined(self._measured(benchmark, store, side))

    def _measured(self, benchmark: BenchmarkSettings, store: Store, side: Side) -> Sequence[Manifest]:
        """The units of a benchmark of the champion, in a folder of its own."""
        recipe, load = self.call.settings, cache(load_causal_lm)
        at_work = AtWork(Call(store, 0, "", 0, recipe), "")
        if isinstance(benchmark, FolderBenchmark):
            subject = Subject(
                policy=side.policy, rollout=recipe.rollout, template=side.template, day=self.day, load=load
            )
            return [measure_folder(store, 0, at_work, benchmark, subject, recipe.run)[0]]
        assert isinstance(benchmark, QuestionBenchmark), "the recipe refuses others"
        with Samplers(recipe.rollout, load, side.template, self.day) as samplers:
            answering = Policy(samplers, side.policy, recipe.run, side.template)
            stages = Stages(store, 0, at_work, answering, self.oracle, self.day)
            return [manifest for manifest, _ in stages.carry_out(benchmark)]


def _evaluated(store: Store, benchmark: BenchmarkSettings, iteration: int) -> dict[str, float]:
    """The figures by which a run's evaluation has measured the policy of an iteration."""
    return combined(
        [require_manifest(store, layout.evaluation(iteration, unit)) for unit in benchmark.units(iteration)]
    )


def _guard(figure: Figure, ours: Mapping[str, float], theirs: Mapping[str, float], margin: float) -> Guard:
    higher = figure.better == "higher"
    return Guard(figure.name, ours[figure.name], theirs[figure.name], margin, higher_is_better=higher)
