"""Settings of the promotion step."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from ..benchmarks import AnyBenchmark
from ..benchmarks.base import BenchmarkSettings, FolderBenchmark, MeasuringSettings
from ..benchmarks.head_to_head import HeadToHead
from ..benchmarks.questions import QuestionBenchmark
from ..core.settings import SHAPES_GRAPH, WHOLE, Part, Settings, nearest
from ..models.dialogues import PolicyTemplate
from ..oracles.oracle_settings import OracleSettings
from ..oracles.settings import AnyOracle
from ..runtime.protocol import StepSettings
from ..sampling.settings import GenerationSettings

Margin = Annotated[float, Field(ge=0.0)]


class PromotionGuards(Settings):
    """How much worse than the champion's the candidate's figures may be; null: a figure is reported, and stops nothing.

    But for `figures`, they are measured on the answers that the win rate is measured on.
    """

    length: Margin | None = 0.2
    """Largest growth of the mean answer, in characters, as a share of the champion's: judges prefer long answers."""
    refusals: Margin | None = 0.02
    """Largest increase of the share of answers that refuse, by how they begin."""
    cut: Margin | None = 0.02
    """Largest increase of the share of answers that were cut at `rollout.max_new_tokens`."""
    canary: Margin | None = 0.1
    """Largest increase of how often the oracle prefers a constant answer, which says nothing."""
    figures: dict[str, Margin] = Field(default_factory=dict)
    """Figures of the recipe's benchmarks of model folders and of questions, such as academic/mean, and by how much each
    may be worse. The candidate's is that of its evaluation; the champion is measured by the same benchmark."""


class PromotionSettings(Part):
    """The recipe's `promotion` section: when the run's policy becomes the champion of a registered model."""

    model_config = WHOLE

    model: Annotated[str, SHAPES_GRAPH] = ""
    """The registered model of MLflow; empty: nothing is promoted, and the graph has no such task."""
    candidate: Literal["last", "best"] = "last"
    """Which policy is the candidate: that of the last iteration, or the one with the highest win rate against the
    reference (the benchmark head_to_head) on one half of the held-out prompts; it then meets the champion on the
    others."""
    threshold: float = Field(0.5, ge=0.0, lt=1.0)
    """The candidate is promoted when the lower bound of its win rate against the champion exceeds this."""
    confidence: float = Field(0.95, ge=0.5, lt=1.0)
    """How sure the interval of the win rate is to hold the true one at all looks at once."""
    first_look: int = Field(64, ge=2)
    """Prompts that are compared before the first look; before each further one, their number doubles."""
    budget: int | None = Field(None, ge=2)
    """Largest number of prompts that are compared; null: all that are held out."""
    first: Literal["reference", "promote"] = "reference"
    """What happens while there is no champion: reference, the candidate has to beat the policy that the run starts
    from, which is its reference unless `policy.reference` is another one; promote, it is promoted at once."""
    dry_run: bool = False
    """Decide and report, and leave the registry as it is."""
    guards: PromotionGuards = PromotionGuards()

    @field_validator("model")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if re.search(r"[/:.%\"']", value) or value != value.strip():
            raise ValueError(f"{value!r} is no name of a registered model: leave out / : . % and quotation marks")
        return value


class MeasuredWith(MeasuringSettings):
    """The part of the recipe's `evaluation` section that the promotion step reads."""

    benchmarks: tuple[AnyBenchmark, ...] = ()


class PromotionStep(StepSettings):
    """Everything the promotion step reads."""

    policy: PolicyTemplate = PolicyTemplate()
    oracle: AnyOracle
    rollout: GenerationSettings
    evaluation: MeasuredWith = MeasuredWith()
    promotion: PromotionSettings = PromotionSettings()


def check_promotion(
    promotion: PromotionSettings, benchmarks: Sequence[BenchmarkSettings], oracle: OracleSettings
) -> None:
    """What the gate needs is measured.

    Raises:
        ValueError: says what is not.
    """
    if not promotion.model:
        return
    there = {figure.name: (figure, benchmark) for benchmark in benchmarks for figure in benchmark.measures(oracle)}
    of_models = [name for name, (figure, benchmark) in there.items() if figure.better and measures_models(benchmark)]
    for name in promotion.guards.figures:
        if name not in of_models:
            raise ValueError(
                f"promotion.guards.figures: {name} is no figure that a benchmark of evaluation.benchmarks measures of "
                f"any model, and that is better when it is higher or lower{nearest(name, of_models)}"
            )
    measured = any(isinstance(benchmark, HeadToHead) and not benchmark.judge for benchmark in benchmarks)
    if promotion.candidate == "best" and not measured:
        raise ValueError(
            "promotion.candidate: best is chosen by the win rate against the reference: add head_to_head to "
            "evaluation.benchmarks, or set it to last"
        )


def measures_models(benchmark: BenchmarkSettings) -> bool:
    """Whether a benchmark measures a model by itself, of whatever run."""
    return isinstance(benchmark, QuestionBenchmark | FolderBenchmark)
