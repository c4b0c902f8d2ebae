"""The interface of benchmarks: a settings class that measures a policy and declares its figures."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..core.runtimes import Runtime
from ..core.settings import Part, Variant
from ..methods.base import Method
from ..models.folders import Load
from ..models.policies import LocalPolicy
from ..oracles.base import Oracle
from ..oracles.oracle_settings import OracleSettings
from ..sampling.settings import GenerationSettings
from ..scoring.engines import Scorer
from ..scoring.settings import ScoringSettings
from ..storage.records import Prompt, Record, Rollout

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


@dataclass(frozen=True)
class Measured:
    """The result of a benchmark: figures by name, None if one does not apply, and records."""

    figures: Mapping[str, float | None]
    records: Mapping[Record[Any], Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)
    """Counts of what the oracle has used."""


@dataclass(frozen=True)
class Bench:
    """What benchmarks measure: a policy of an iteration, with the parts of the recipe that they need."""

    iteration: int
    """0: the policy is the reference."""
    policy: LocalPolicy
    reference: LocalPolicy
    prompts: Sequence[Prompt]
    """The held-out ones."""
    responses: Mapping[Responses, Sequence[Rollout]]
    """Those that the benchmark `reads`: prompt by prompt, sample by sample."""
    method: Method
    oracle: OracleSettings
    judge: Callable[[], Oracle]
    """The oracle, loaded once for all benchmarks."""
    rollout: GenerationSettings
    logprobs: ScoringSettings
    evaluation: MeasuringSettings
    load: Load
    """Opens a folder's model; one that was opened before is the same, and is never changed."""

    def scorer(self, policy: LocalPolicy) -> Scorer:
        """A policy's log-probabilities."""
        return self.logprobs.engine.open(policy.folder, self.logprobs.dtype, self.load, self.logprobs.layout)


class Benchmark(Variant, ABC):
    """Interface of all benchmarks; group of entry points: `nashflow.benchmarks`."""

    version: ClassVar[int] = 1
    """Raised when the benchmark measures something else under the same settings."""
    figures: ClassVar[tuple[Figure, ...]]
    """The figures that it measures."""
    reads: ClassVar[tuple[Responses, ...]] = ()
    """Which responses it needs."""
    runtime: ClassVar[Runtime | None] = None
    """The runtime that it needs, if not the sampling engine's; benchmarks with the same runtime share a task."""
    needs_world: ClassVar[bool] = False
    """Whether it measures on the sandbox world alone."""
    asks_oracle: ClassVar[bool] = False
    """Whether the oracle judges each response of the policy against one of the reference."""
    scores: ClassVar[int] = 0
    """How many policies score each response of the policy."""

    @abstractmethod
    def depends_on(self, bench: Bench) -> Any:
        """The part of the recipe that the figures depend on, besides policies and responses: a JSON value."""

    @abstractmethod
    def measure(self, bench: Bench) -> Measured:
        """Measure the policy."""

    def check(self) -> None:
        """Raise a UserError if it cannot measure here, for example because a file is missing."""
