"""The steps of a run as values. A new step is one folder of components and one entry of this list."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from nashflow.components.benchmarks import every_figure, groups_at
from nashflow.components.closing.settings import ClosingStep
from nashflow.components.core.runtimes import Runtime
from nashflow.components.evaluation.settings import EvaluationStep
from nashflow.components.judge_training.settings import JudgeTrainingStep
from nashflow.components.judging.settings import JudgingStep
from nashflow.components.logprobs.settings import LogprobsStep
from nashflow.components.methods.phases import Phase
from nashflow.components.promotion.settings import PromotionStep
from nashflow.components.prompts.counts import WORDS
from nashflow.components.recipe import Recipe as BaseRecipe
from nashflow.components.reporting.settings import ReportingStep
from nashflow.components.rollout.settings import RolloutStep
from nashflow.components.runtime.protocol import StepSettings
from nashflow.components.storage import layout
from nashflow.components.training.launchers.trainjob.launcher import TrainJob
from nashflow.components.training.settings import TrainingStep

from .resources import ONE_ACCELERATOR, SMALL, WHOLE_NODE, ByProfile, Profile, StepResources

if TYPE_CHECKING:
    from .costs import Estimate
    from .recipe import Recipe

Level = Literal["beginning", "start", "shard", "phase", "iteration", "end", "exit"]
"""When a step runs: once at the beginning of a run, and the others wait for its output `go`; once before the first
iteration; for each shard of the data of a phase; for each phase; for each iteration, 0 being the reference's; once at
the end; once at the exit, however the run ends. Steps of one level follow one another in the order of the list."""
IMAGES: Mapping[Runtime, str] = {"steps": "image", "vllm": "vllm_image", "training": "training_image"}
"""The pipeline's parameter that holds the image of each runtime."""


@dataclass(frozen=True)
class Amount:
    """In what the work of a step is counted, where `nashflow plan --from` takes its rate from another run."""

    of: str
    """Such as responses."""
    planned: Callable[["Estimate"], int]
    """How many one iteration takes, at most."""
    sections: tuple[str, ...]
    """The sections of the recipe, or keys of it, that decide how long each takes."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step: how its tasks are wired, what its pods ask for, and what is shown of it."""

    name: str
    """Names its folder, its tasks and its section of `cluster.steps`."""
    level: Level
    settings: type[StepSettings]
    """The part of the recipe that it reads."""
    resources: ByProfile
    """What its pods ask for unless the recipe's `cluster.steps` says otherwise."""
    runtime: Callable[["Recipe"], Runtime] = lambda recipe: "steps"
    """The runtime whose image its pods use."""
    job: Callable[["Recipe"], TrainJob | None] = lambda recipe: None
    """The job whose pods do its work, each with its resources, while its own pod, with few, waits for them; None: its
    own pod does it."""
    groups: Callable[["Recipe", int], Iterable[str]] = lambda recipe, iteration: ("",)
    """Its tasks in an iteration, none where the recipe has no work for it, which iteration 0 shows. Each is named after
    the runtime that it needs; the one without a name needs `runtime`."""
    accelerated: Runtime = "vllm"
    """The runtime if its pods ask for accelerators: that of the steps has a torch for CPUs."""
    sees_models: bool = True
    """Whether its pods mount the volume of model folders. A volume that cannot be mounted keeps a pod from starting."""
    retried: bool = True
    """Whether a failed attempt is repeated; not where the user has to correct what the step refuses."""
    new_data: bool = False
    """Whether it runs only in phases that make data, not in those that use an earlier phase's data again."""
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For an input artifact, the artifacts that it may be given: the first that exists. An input that is not listed
    here is given the artifact of its own name."""
    if_sharded: tuple[str, ...] = ()
    """Artifacts that it reads or writes only if there are several shards, because the shards' own steps have none."""
    unit: str = ""
    """Of a step that runs once: the unit of work that is finished when the step is."""
    shown: tuple[str, ...] = ()
    """Figures in the line of a finished task."""
    faults: tuple[str, ...] = ()
    """Counts of what should not happen, which stand there where they are not 0."""
    hours: Callable[["Estimate"], float] | None = None
    """GPU hours of all its tasks in one iteration; None: it needs no GPU."""
    amount: Amount | None = None
    """None: it takes no time to speak of."""
    home: str = "nashflow.components"
    """The package that contains its folder."""

    @property
    def package(self) -> str:
        """The package of its folder, which its containers run."""
        return f"{self.home}.{self.name}"

    @cached_property
    def component(self) -> Any:
        """Its KFP component."""
        return getattr(importlib.import_module(f"{self.package}.component"), self.name)

    @cached_property
    def module(self) -> Any:
        """Its module `step.py`: the function `run`, and the outputs and flags that the step declares."""
        return importlib.import_module(f"{self.package}.step")

    @property
    def once(self) -> bool:
        """Whether it runs once in a run."""
        return self.level in ("beginning", "start", "end", "exit")

    def runs_in(self, recipe: "Recipe") -> bool:
        """Whether a recipe has work for it."""
        return any(True for _ in self.groups(recipe, 0))

    def defaults(self, profile: Profile) -> StepResources:
        """What its pods ask for by default."""
        return self.resources[profile].model_copy(update={} if self.retried else {"retries": 0})

    def together(self, recipe: "Recipe") -> int:
        """How many pods, each with its resources, carry out one of its tasks."""
        job = self.job(recipe)
        return job.nodes if job else 1

    def runtime_in(self, recipe: "Recipe", group: str = "") -> Runtime:
        """The runtime whose image the pods of a task use in a recipe; `group` is one of `groups`."""
        if group:
            return cast(Runtime, group)
        return self.accelerated if recipe.cluster.resources(self.name).accelerators else self.runtime(recipe)


def _judging(recipe: "Recipe") -> Runtime:
    """The runtime of judging: that of an oracle which needs another than the steps'."""
    return next((oracle.runtime for oracle in recipe.oracles.values() if oracle.runtime != "steps"), "steps")


def _evaluating(recipe: "Recipe") -> Runtime:
    """The runtime of evaluation: it samples with one engine, and may ask an oracle's model on another. The image of
    vLLM has what transformers needs, too."""
    asked = [oracle for each in recipe.evaluation.benchmarks for oracle in each.asked_of(recipe.oracle)]
    own = (oracle.runtime for oracle in asked if oracle.runtime != "steps")
    return next(own, recipe.rollout.engine.runtime)


def _promoting(recipe: "Recipe") -> Runtime:
    """The runtime of promotion: it samples with one engine, and asks the oracle's model on another."""
    return recipe.oracle.runtime if recipe.oracle.runtime != "steps" else recipe.rollout.engine.runtime


def _training(recipe: "Recipe") -> Runtime:
    """The runtime of training: the engine's, or the one with a client of Kubernetes, if it makes a job there."""
    return "training" if _training_job(recipe) else recipe.training.engine.runtime


def _training_job(recipe: "Recipe") -> TrainJob | None:
    launcher = recipe.training.launcher
    return launcher if isinstance(launcher, TrainJob) else None


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
            shown=("prompts", "read", *WORDS, "most_uses", "reused"),
        ),
        Step(
            name="judge_training",
            level="start",
            settings=JudgeTrainingStep,
            resources=ONE_ACCELERATOR,
            accelerated="training",
            groups=lambda recipe, iteration: ("",) if recipe.judges else (),
            shown=("pairs", "updates", "loss", "held_out_pairs", "accuracy", "accuracy_low", "length_only"),
            faults=("too_long", "abstentions"),
            hours=lambda estimate: estimate.computing(estimate.fitted),
            amount=Amount("labelled pairs", lambda estimate: estimate.labels, ("oracle", "judging")),
        ),
        Step(
            name="rollout",
            level="shard",
            settings=RolloutStep,
            resources=ONE_ACCELERATOR,
            runtime=lambda recipe: recipe.rollout.engine.runtime,
            new_data=True,
            shown=("prompts", "responses", "tokens", "mean_length"),
            faults=("identical", "empty", "cut"),
            hours=lambda estimate: estimate.generating(estimate.sampled),
            amount=Amount("responses", lambda estimate: estimate.work.responses, ("policy", "rollout")),
        ),
        Step(
            name="judging",
            level="shard",
            settings=JudgingStep,
            resources=ONE_ACCELERATOR,
            runtime=_judging,
            new_data=True,
            shown=("pairs", "comparisons", "oracle_calls", "reused_pairs"),
            faults=("abstentions", "truncated"),
            hours=lambda estimate: estimate.computing(estimate.judged),
            amount=Amount("comparisons", lambda estimate: estimate.work.comparisons, ("oracle", "judging")),
        ),
        Step(
            name="logprobs",
            level="shard",
            settings=LogprobsStep,
            resources=ONE_ACCELERATOR,
            runtime=lambda recipe: recipe.logprobs.engine.runtime,
            reads={"source": ("pairs", "policy")},
            shown=("sequences", "cache_hits", "tokens"),
            hours=lambda estimate: estimate.computing(estimate.cached),
            amount=Amount("sequences", lambda estimate: estimate.work.scored, ("policy", "logprobs")),
        ),
        Step(
            name="training",
            level="phase",
            settings=TrainingStep,
            resources=WHOLE_NODE,
            runtime=_training,
            job=_training_job,
            accelerated="training",
            reads={"scored": ("log_probabilities",), "previous": ("policy",)},
            if_sharded=("previous", "responses", "comparisons", "pairs"),
            shown=("updates", "tokens", "loss", "accuracy"),
            hours=lambda estimate: estimate.computing(estimate.trained),
            amount=Amount("pairs", lambda estimate: estimate.work.pairs, ("policy", "training")),
        ),
        Step(
            name="evaluation",
            level="iteration",
            settings=EvaluationStep,
            resources=ONE_ACCELERATOR,
            runtime=_evaluating,
            groups=lambda recipe, iteration: groups_at(
                recipe.evaluation.benchmarks, recipe.rollout.engine.runtime, iteration, recipe.run.iterations
            ),
            shown=tuple(figure.name for figure in every_figure().values() if figure.headline),
            faults=tuple(figure.name for figure in every_figure().values() if figure.fault),
            hours=lambda estimate: estimate.generating(estimate.answered) + estimate.computing(estimate.measured),
            amount=Amount(
                "responses to held-out prompts",
                lambda estimate: estimate.held_out,
                ("policy", "rollout", "oracle", "evaluation"),
            ),
        ),
        Step(
            name="promotion",
            level="end",
            settings=PromotionStep,
            resources=ONE_ACCELERATOR,
            runtime=_promoting,
            groups=lambda recipe, iteration: ("",) if recipe.promotion.model else (),
            unit=layout.PROMOTION,
            shown=("promoted", "win_rate", "win_rate_low", "win_rate_high", "prompts"),
            faults=("abstentions", "truncated"),
            hours=lambda estimate: estimate.promoted,
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


def job_of(recipe: "Recipe") -> TrainJob | None:
    """The job that a step of a recipe makes, if one does."""
    return next((job for step in STEPS.values() if (job := step.job(recipe))), None)


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


def steps_in(recipe: "Recipe") -> list[str]:
    """The names of the steps that a recipe has work for."""
    return [name for name, step in STEPS.items() if step.runs_in(recipe)]


def task_name(step: str, iteration: int | None = None, phase: str = "") -> str:
    """A task's name in the graph: `training-001-main`, `evaluation-000`, `reporting`; one for all of its shards.

    KFP writes dashes for underscores.
    """
    place = [] if iteration is None else [f"{iteration:03d}"]
    return "-".join([step.replace("_", "-"), *place, *filter(None, [phase])])
