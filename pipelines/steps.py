"""The steps of a run as values: everything that this package needs to know about each. A new step is one folder and one
entry here."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from nashflow.components.benchmarks import groups_of
from nashflow.components.closing.settings import ClosingStep
from nashflow.components.core.runtimes import Runtime
from nashflow.components.evaluation.settings import EvaluationStep
from nashflow.components.judging.settings import JudgingStep
from nashflow.components.logprobs.settings import LogprobsStep
from nashflow.components.methods.phases import Phase
from nashflow.components.recipe import Recipe as BaseRecipe
from nashflow.components.reporting.settings import ReportingStep
from nashflow.components.rollout.settings import RolloutStep
from nashflow.components.runtime.protocol import StepSettings
from nashflow.components.storage import layout
from nashflow.components.training.settings import TrainingStep

from .resources import ONE_ACCELERATOR, SMALL, WHOLE_NODE, ByProfile, Profile, StepResources

if TYPE_CHECKING:
    from .costs import Estimate
    from .recipe import Recipe

Level = Literal["beginning", "shard", "phase", "iteration", "end", "exit"]
"""The level of a step: the run's beginning, which outputs the `go` that all others wait for; a shard of a phase's data;
a phase; an iteration, where iteration 0 evaluates the reference; the run's end; its exit, which always runs. Steps of
one level follow one another as they are listed."""
IMAGES: Mapping[Runtime, str] = {"steps": "image", "vllm": "vllm_image", "training": "training_image"}
"""Runtime, as `cluster.images` names it: the pipeline's parameter that holds its image."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step: the inputs of its tasks, the resources of its pods, and the figures that are shown."""

    name: str
    """Of its folder, its tasks, and its section of `cluster.steps`."""
    level: Level
    settings: type[StepSettings]
    """The settings that it reads from the recipe."""
    resources: ByProfile
    """Default resources of its pods, which `cluster.steps` in the recipe overrides."""
    runtime: Callable[["Recipe"], Runtime] = lambda recipe: "steps"
    """The runtime (image) that it runs in."""
    groups: Callable[["Recipe"], Iterable[str]] = lambda recipe: ("",)
    """Names of the tasks that an iteration has of it: each is the runtime of its task, the empty one `runtime`."""
    accelerated: Runtime = "vllm"
    """The runtime if its pods request accelerators, because the torch of the image `steps` is for CPUs."""
    sees_models: bool = True
    """Whether its pods mount the volume of model folders; one that cannot be mounted keeps a pod from starting."""
    retried: bool = True
    """Whether it is retried when it fails; pointless for a step that fails only on mistakes of the user."""
    new_data: bool = False
    """Whether it is left out where a phase uses an earlier one's data again."""
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Input artifact: the artifacts that it is given, the first of them that there is; otherwise one of its name."""
    of_all_shards: tuple[str, ...] = ()
    """Artifacts that it reads and outputs only if there are several shards, because the steps of shards then have
    none."""
    unit: str = ""
    """Unit of work that says that it is done, of a step that a run has once."""
    shown: tuple[str, ...] = ()
    """Figures shown in the line of a finished task."""
    hours: Callable[["Estimate"], float] | None = None
    """GPU hours of all its tasks in one iteration; None: it takes none."""
    home: str = "nashflow.components"
    """The package that holds its folder."""

    @property
    def package(self) -> str:
        """Its folder, as Python names it: what its containers run."""
        return f"{self.home}.{self.name}"

    @cached_property
    def component(self) -> Any:
        """Its KFP component."""
        return getattr(importlib.import_module(f"{self.package}.component"), self.name)

    @cached_property
    def module(self) -> Any:
        """Its module `step`: `run`, and what it declares."""
        return importlib.import_module(f"{self.package}.step")

    @property
    def once(self) -> bool:
        """Whether a run has it once."""
        return self.level in ("beginning", "end", "exit")

    def defaults(self, profile: Profile) -> StepResources:
        """The resources of its pods on such a cluster."""
        return self.resources[profile].model_copy(update={} if self.retried else {"retries": 0})

    def runtime_in(self, recipe: "Recipe", group: str = "") -> Runtime:
        """The runtime of the task of a group, which depends on the resources of its pods."""
        if group:
            return cast(Runtime, group)
        return self.accelerated if recipe.cluster.resources(self.name).accelerators else self.runtime(recipe)


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step(
            name="preparation",
            level="beginning",
            settings=BaseRecipe,
            resources={**SMALL, "many-nodes": StepResources(memory="16Gi", timeout_seconds=3 * 3600)},
            retried=False,
            unit=layout.PREPARATION,
            shown=("prompts",),
        ),
        Step(
            name="rollout",
            level="shard",
            settings=RolloutStep,
            resources=ONE_ACCELERATOR,
            runtime=lambda recipe: recipe.rollout.engine.runtime,
            new_data=True,
            shown=("responses", "mean_length"),
            hours=lambda estimate: estimate.generating(estimate.sampled),
        ),
        Step(
            name="judging",
            level="shard",
            settings=JudgingStep,
            resources=ONE_ACCELERATOR,
            new_data=True,
            shown=("pairs", "comparisons"),
            hours=lambda estimate: estimate.computing(estimate.readings * estimate.reading),
        ),
        Step(
            name="logprobs",
            level="shard",
            settings=LogprobsStep,
            resources=ONE_ACCELERATOR,
            reads={"source": ("pairs", "policy")},
            shown=("sequences", "cache_hits"),
            hours=lambda estimate: estimate.computing(estimate.cached),
        ),
        Step(
            name="training",
            level="phase",
            settings=TrainingStep,
            resources=WHOLE_NODE,
            runtime=lambda recipe: recipe.training.engine.runtime,
            accelerated="training",
            reads={"scored": ("log_probabilities",), "previous": ("policy",)},
            of_all_shards=("previous", "responses", "comparisons", "pairs"),
            shown=("updates", "loss", "accuracy"),
            hours=lambda estimate: estimate.computing(estimate.trained),
        ),
        Step(
            name="evaluation",
            level="iteration",
            settings=EvaluationStep,
            resources=ONE_ACCELERATOR,
            runtime=lambda recipe: recipe.rollout.engine.runtime,
            groups=lambda recipe: groups_of(recipe.evaluation.benchmarks),
            shown=("win_rate", "duality_gap", "kl"),
            hours=lambda estimate: estimate.generating(estimate.answered) + estimate.computing(estimate.measured),
        ),
        Step(
            name="reporting",
            level="end",
            settings=ReportingStep,
            resources=SMALL,
            sees_models=False,
            unit=layout.REPORT,
        ),
        Step(
            name="closing",
            level="exit",
            settings=ClosingStep,
            resources=SMALL,
            sees_models=False,
        ),
    )
}
"""Every step by its name, in the order of a run."""


def steps_of(level: Level) -> list[Step]:
    """The steps of a level, in their order."""
    return [step for step in STEPS.values() if step.level == level]


def only(level: Level) -> Step:
    """The one step of a level: of the beginning, or the exit."""
    (step,) = steps_of(level)
    return step


def steps_of_data(phase: Phase) -> list[Step]:
    """The steps of each shard of a phase."""
    return [step for step in steps_of("shard") if not (step.new_data and phase.data_from)]


def task_name(step: str, iteration: int | None = None, phase: str = "") -> str:
    """A task's name in the graph: `training-001-main`, `evaluation-000`, `reporting`; one for all of its shards."""
    return "-".join([step, *([] if iteration is None else [f"{iteration:03d}"]), *filter(None, [phase])])
