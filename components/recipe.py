"""A recipe: the steps' settings composed. The client and preparation read the same class."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from .core.errors import UserError
from .core.overrides import override
from .core.settings import SHAPES_GRAPH, WHOLE, Variant, graph_shaping
from .evaluation.settings import EvaluationSettings, check_judges, check_measured_once
from .judging.settings import JudgingSettings, check_labels, check_reuse, check_seeding, judges
from .methods import AnyMethod
from .notifications.settings import NotificationSettings
from .oracles.fitted.settings import JudgeSettings
from .oracles.oracle_settings import OracleSettings, judges_of
from .oracles.settings import AnyOracle
from .preparation.policy import AnyPolicy, PolicySettings
from .preparation.settings import (
    PromptSettings,
    RunSettings,
    check_given,
    check_one_world,
    check_sampling,
    check_sets,
)
from .promotion.settings import PromotionSettings, check_promotion
from .runtime.protocol import StepCluster, StepSettings
from .sampling.settings import GenerationSettings
from .scoring.settings import ScoringSettings
from .training.settings import TrainingSettings, check_budget, check_precision


class Recipe(StepSettings):
    """Everything about a run. Each section is the settings of the step or part that owns it."""

    model_config = WHOLE

    run: Annotated[RunSettings, SHAPES_GRAPH]
    method: AnyMethod
    policy: AnyPolicy
    prompts: PromptSettings
    oracle: AnyOracle
    rollout: GenerationSettings = GenerationSettings()
    judging: JudgingSettings = JudgingSettings()
    logprobs: ScoringSettings = ScoringSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    notifications: Annotated[NotificationSettings, SHAPES_GRAPH] = Field(
        NotificationSettings(), exclude_if=lambda section: not section.webhooks
    )
    promotion: PromotionSettings = Field(PromotionSettings(), exclude_if=lambda promotion: not promotion.model)
    cluster: Annotated[StepCluster, SHAPES_GRAPH] = StepCluster()
    """Where and with what the steps of a submitted run run: the client's, but for what steps read of it."""

    @model_validator(mode="after")
    def _reference(self) -> Self:
        object.__setattr__(self, "method", self.method.told(self.policy.reference_policy is not None))
        return self

    def with_policy(self, policy: PolicySettings) -> Self:
        """The same recipe with another starting policy, and reference."""
        method = self.method.told(policy.reference_policy is not None)
        return self.model_copy(update={"policy": policy, "method": method})

    @model_validator(mode="after")
    def _one_world(self) -> Self:
        check_one_world(self.policy, self.prompts, self.oracle, self.evaluation.benchmarks)
        check_measured_once(self.evaluation.benchmarks, self.oracle)
        check_judges(self.evaluation.benchmarks, self.oracle)
        check_given(self.method, self.prompts)
        check_sets(self.run.iterations, self.prompts, self.evaluation.prompts)
        check_sampling(self.method, self.rollout.engine, self.rollout.dtype)
        check_precision(self.logprobs, self.training.engine)
        if self.prompts.path:
            check_budget(self.training, self.prompts.max_tokens, self.rollout.max_new_tokens)
        check_labels(self.method, self.oracle)
        check_seeding(self.method, self.oracle, self.judging)
        check_reuse(self.method, self.oracle, self.judging)
        check_promotion(self.promotion, self.evaluation.benchmarks, self.oracle)
        return self

    @property
    def oracles(self) -> dict[str, OracleSettings]:
        """The oracles that are asked; see `judges`."""
        return judges(self.oracle, self.judging)

    @property
    def judges(self) -> dict[str, JudgeSettings]:
        """The judges that the run fits itself, by their names."""
        return judges_of(self.oracles.values())

    @property
    def engines(self) -> dict[str, Variant]:
        """The engines by their settings."""
        return {
            "rollout.engine": self.rollout.engine,
            "logprobs.engine": self.logprobs.engine,
            "training.engine": self.training.engine,
        }

    @property
    def unavailable(self) -> list[str]:
        """The message of each engine that no image has."""
        lines = []
        for check in (self.rollout.engine.check, self.logprobs.engine.check, self.training.engine.check):
            try:
                check()
            except UserError as line:
                lines.append(str(line))
        return lines

    @property
    def tasks(self) -> list[list[tuple[str, bool]]]:
        """The phases of each iteration, by which graphs are unrolled: name, and whether it has data of its own."""
        iterations = range(1, self.run.iterations + 1)
        return [[(phase.name, not phase.data_from) for phase in self.method.phases(t)] for t in iterations]


def shapes_graph(setting: str) -> bool:
    """Whether a setting such as `method.name=egpo` changes which tasks a graph has, or what they ask of a cluster."""
    key = f"{setting.partition('=')[0].strip()}."
    return any(f"{shaping}.".startswith(key) or key.startswith(f"{shaping}.") for shaping in graph_shaping(Recipe))


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe of a compiled graph with settings of one run of it.

    Raises:
        UserError: no such setting, a wrong value, or one that the graph cannot follow; names it.
    """
    if not settings:
        return recipe
    data = recipe.model_dump(mode="json")
    for setting in settings:
        if shapes_graph(setting):
            raise UserError(_too_late(setting))
    override(data, settings, type(recipe))
    changed = type(recipe).parse(data, "set")
    if changed.tasks != recipe.tasks:
        raise UserError(_too_late(*settings))
    return changed


def _too_late(*settings: str) -> str:
    keys = ", ".join(setting.partition("=")[0].strip() for setting in settings)
    how = " ".join(f"--set {setting}" for setting in settings)
    return f"set: {keys} would change the graph, which is compiled: compile or submit the recipe anew with {how}"
