"""The interface of benchmarks: a settings class that measures a policy and declares its figures."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..core.runtimes import Runtime
from ..core.settings import Part, Variant
from ..methods.base import Method
from ..models.dialogues import TemplateSettings
from ..models.folders import Load
from ..models.policies import LocalPolicy
from ..oracles.base import Oracle
from ..oracles.oracle_settings import OracleSettings
from ..sampling.settings import GenerationSettings
from ..scoring.engines import Scorer
from ..scoring.settings import ScoringSettings
from ..storage.records import Prompt, Record, Rollout
from ..storage.run import without_endpoints
from ..storage.store import Store
from .published import Published
from .shares import Shares

Responses = Literal["responses", "opponents"]
"""Sampled on the held-out prompts, once for all benchmarks: the policy's, and the reference's, with other seeds."""


class MeasuringSettings(Part):
    """The settings of the recipe's `evaluation` section that all benchmarks share."""

    tau: float = Field(0.1, ge=0.0)
    """KL weight of the game whose duality gap is reported. Use the same in all recipes of a world, so that gaps are
    comparable."""
    samples: int = Field(1, ge=1)
    """Responses per held-out prompt."""
    temperature: float = Field(1.0, ge=0.0)
    """Sampling temperature of the responses that are compared; 0 is greedy."""


@dataclass(frozen=True)
class Figure:
    """A number that a benchmark measures of a policy."""

    name: str
    """Its key in manifests, summary and MLflow."""
    title: str = ""
    """Its heading in tables and on the page; empty: it is in the summary and MLflow alone."""
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""
    """Which direction is an improvement, if either is."""
    digits: int = 3
    """After the decimal point, in tables."""
    meaning: str = ""
    """What it is, in a table's caption."""
    headline: bool = False
    """Whether it stands in the line of an evaluation that has ended."""
    interval: tuple[str, str] | None = None
    """The figures that are the ends of its 95 % interval."""
    error: str = ""
    """The figure that is its standard error."""
    unlike: str = ""
    """The figure that it is shown beside, only where the two differ."""
    fault: bool = False
    """Whether it measures what should not happen: it is shown only where, rounded, it is not 0."""


def with_interval(name: str, title: str, ends: str = "", *, error: bool = False, **more: Any) -> tuple[Figure, ...]:
    """A figure, and those of its interval: `<ends>_low` and `<ends>_high`, and with `error` its standard error,
    `<ends>_error`. `ends` is the figure's name by default."""
    low, high, deviation = (f"{ends or name}_{end}" for end in ("low", "high", "error"))
    figure = Figure(name, title, interval=(low, high), error=deviation if error else "", **more)
    return (figure, Figure(low), Figure(high), *([Figure(deviation)] if error else []))


def renamed(figure: Figure, names: Mapping[str, str]) -> Figure:
    """A figure under another name, as `names` has it for it and for those that it refers to."""
    ends = (names[figure.interval[0]], names[figure.interval[1]]) if figure.interval else None
    error, unlike = (names.get(other, other) for other in (figure.error, figure.unlike))
    return replace(figure, name=names[figure.name], interval=ends, error=error, unlike=unlike)


@dataclass(frozen=True)
class Measured:
    """The result of a benchmark: figures by name, None if one does not apply, and records."""

    figures: Mapping[str, float | None]
    records: Mapping[Record[Any], Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)
    """Counts of what the oracle has used."""


Kept = Callable[[str, Callable[[], Any]], Any]


def made_anew(name: str, make: Callable[[], Any]) -> Any:
    """The value, made now; nothing is kept."""
    return make()


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A policy that is measured, of a run or of none, and how it is opened."""

    policy: LocalPolicy
    rollout: GenerationSettings
    template: TemplateSettings
    """The chat template, and its arguments."""
    day: str
    """The ISO date that chat templates write."""
    load: Load
    """Opens a folder's model; one that was opened before is the same, and is never changed."""
    kept: Kept = made_anew
    """The value of a name, as an earlier attempt at the unit of work has made it, or else made now and kept."""


@dataclass(frozen=True, kw_only=True)
class Bench(Subject):
    """What benchmarks measure: a policy of an iteration, with the parts of the recipe that they need."""

    iteration: int
    """0: the policy is the one that training starts from."""
    reference: LocalPolicy
    start: LocalPolicy
    """The policy that training starts from; the reference, unless that is apart."""
    prompts: Sequence[Prompt]
    """The held-out ones."""
    responses: Mapping[Responses, Sequence[Rollout]]
    """Those that the benchmark `reads`: prompt by prompt, sample by sample."""
    method: Method
    oracle: OracleSettings
    judge: Callable[[], Oracle]
    """The oracle, loaded once for all benchmarks."""
    logprobs: ScoringSettings
    evaluation: MeasuringSettings

    def scorer(self, policy: LocalPolicy) -> Scorer:
        """A policy's log-probabilities."""
        return self.logprobs.engine.open(policy.folder, self.logprobs.dtype, self.load, self.logprobs.layout)


class BenchmarkSettings(Variant, ABC):
    """Interface of the settings of every benchmark; group of entry points: `nashflow.benchmarks`."""

    version: ClassVar[int] = 1
    """Raised when the benchmark measures something else under the same settings."""
    figures: ClassVar[tuple[Figure, ...]]
    """The figures that it measures, by their names in every recipe."""
    reads: ClassVar[tuple[Responses, ...]] = ()
    """Which responses to the held-out prompts it needs."""
    runtime: ClassVar[Runtime | None] = None
    """The runtime that it needs, if not the sampling engine's; benchmarks with the same runtime share a task."""
    needs_world: ClassVar[bool] = False
    """Whether it measures on the sandbox world alone."""
    asks_oracle: ClassVar[bool] = False
    """Whether the oracle judges each response of the policy against one of the reference."""
    scores: ClassVar[int] = 0
    """How many policies score each response of the policy."""
    alone: ClassVar[str] = ""
    """The kind of the benchmark that stands for this one where a model is measured by itself, if another does."""

    published: ClassVar[tuple[Published, ...]] = ()
    """What papers report of it."""

    every: Annotated[int, Field(ge=1)] | Literal["final"] = Field(1, exclude_if=lambda every: every == 1)
    """Which iterations it measures: 1, all of them; another number N, every N-th and the last one; final, the last one
    alone. The reference is measured in any case."""

    @property
    def name(self) -> str:
        """Tells it from other benchmarks of a recipe, and stands before the names of its units of work."""
        return self.kind

    @property
    def oracles(self) -> tuple[OracleSettings, ...]:
        """The oracles of its own that it asks."""
        return ()

    def asked_of(self, oracle: OracleSettings) -> tuple[OracleSettings, ...]:
        """The oracles that it asks in a recipe with this one."""
        return (oracle,) if self.asks_oracle else ()

    def unfit(self, judge: OracleSettings) -> str:
        """Why an oracle cannot judge for it; empty if it can."""
        return ""

    @property
    def answered(self) -> int:
        """How many answers of the policy's it samples for itself, each turn counted; 0 if that is not known."""
        return 0

    @property
    def judged(self) -> int:
        """How often it asks those whom it asks about these answers, at most; 0 if that is not known."""
        return 0

    def due(self, iteration: int, last: int) -> bool:
        """Whether it measures an iteration of a run that ends with iteration `last`."""
        return iteration in (0, last) or (self.every != "final" and iteration % self.every == 0)

    def units(self, iteration: int) -> tuple[str, ...]:
        """Its units of work in an iteration, in their order, as `layout.evaluation` names them."""
        return (self.name,)

    def measures(self, oracle: OracleSettings | None) -> tuple[Figure, ...]:
        """The figures that it measures in a recipe with this oracle; None: of a model by itself."""
        return self.figures

    def shares(self, store: Store, iteration: int, oracle: OracleSettings | None) -> Mapping[str, Shares]:
        """What each prompt adds to those of its figures that are ratios of sums over prompts, by their names, of an
        iteration that it has measured in a recipe with this oracle."""
        return {}

    def identity(self, *without: str) -> Any:
        """Its settings, a JSON value, without those that change no figure, and without others."""
        return without_endpoints(self.model_dump(mode="json", exclude={"every", *without}))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files and folders that it reads."""
        return ()

    def check(self) -> None:
        """Raise a UserError if it cannot measure here, for example because a file is missing."""


class Benchmark(BenchmarkSettings, ABC):
    """Interface of the benchmarks that measure a policy of a run at once."""

    @abstractmethod
    def depends_on(self, bench: Bench) -> Any:
        """The part of the recipe that the figures depend on, besides policies and responses: a JSON value."""

    @abstractmethod
    def measure(self, bench: Bench) -> Measured:
        """Measure the policy."""


class FolderBenchmark(Benchmark, ABC):
    """Interface of benchmarks that measure any model folder, of a run or of none: without its reference or prompts."""

    @abstractmethod
    def depends_on(self, bench: Subject) -> Any:
        """As `Benchmark.depends_on`, by what is known of a model folder."""

    @abstractmethod
    def measure(self, bench: Subject) -> Measured:
        """Measure the policy."""
