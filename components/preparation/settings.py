"""The recipe's sections that preparation works on, `run` and `prompts`, and how the others have to fit."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from ..benchmarks.base import BenchmarkSettings
from ..core.settings import WHOLE
from ..iterations.keep import ALL, KEEP
from ..methods.base import Method
from ..models.folders import Dtype
from ..oracles.oracle_settings import OracleSettings
from ..prompts.settings import PromptSource
from ..runtime.protocol import StepPrompts, StepRun
from ..sampling.engines import SAMPLING_ENGINES, SamplingEngine
from .policy import PolicySettings


class RunSettings(StepRun):
    """The recipe's `run` section."""

    model_config = WHOLE

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    """The run's name: lower-case letters, digits and dashes."""
    iterations: int = Field(3, ge=1)
    """T, the number of self-play iterations; a larger T extends a finished run."""
    keep: str = Field(ALL, pattern=KEEP, exclude_if=lambda keep: keep == ALL)
    """Which policies stay while the run goes on: `all`; `last 3`, those of the three newest iterations; or `every 5`,
    those of iterations 5, 10, …. The reference, the newest policies, those that a later iteration needs, such as its
    anchors, and those that a registered model or another run points to stay in any case. Of the others the files are
    deleted when an iteration is done; records and figures stay. Checkpoints and masters go as soon as no training to
    come needs them, whatever is set here."""


class PromptSettings(StepPrompts, PromptSource):
    """The recipe's `prompts` section."""

    model_config = WHOLE

    given: tuple[str, ...] = ()
    """The fields of an entry that hold given responses, for methods that need them: the response of a teacher, or the
    chosen and the rejected response of a pair. Each is a text, or a list of chat messages that ends with the response.
    Empty: as the layout has it. The sandbox world generates its own."""
    max_tokens: int = Field(1024, ge=1)
    """Longest prompt, in tokens of the policy's tokenizer with its chat template; longer prompts are left out."""
    per_iteration: int = Field(ge=1)
    """Number of prompts in each iteration. Every iteration takes unused prompts until the file is used up; then it is
    shuffled again."""
    held_out: int = Field(64, ge=1)
    """Number of prompts reserved for evaluation, or taken from evaluation.prompts where that is set."""

    @property
    def sets(self) -> int:
        """Number of sets of prompts: 1 for all iterations, or one for each."""
        return max(1, len(self.paths))

    @model_validator(mode="after")
    def _shards_hold_prompts(self) -> "PromptSettings":
        if self.shards > self.per_iteration:
            raise ValueError(
                f"shards is {self.shards}, above per_iteration = {self.per_iteration}, which leaves shards without "
                f"prompts: set it to at most {self.per_iteration}"
            )
        return self


def check_one_world(
    policy: PolicySettings, prompts: PromptSettings, oracle: OracleSettings, benchmarks: Sequence[BenchmarkSettings]
) -> None:
    """The sandbox's prompts, oracle and exact benchmarks belong together, and so does its policy with them.

    Raises:
        ValueError: says which of them do not fit.
    """
    world = oracle.own_world
    if world and prompts.path:
        raise ValueError(
            f"oracle.kind is {oracle.kind}, which judges its own prompts only, but prompts.path is {prompts.path!r}"
        )
    others = {"prompts.path is empty": not prompts.path, f"policy.kind is {policy.kind}": bool(policy.own_world)}
    others |= {f"evaluation.benchmarks has {each.kind}": each.needs_world for each in benchmarks}
    for what, holds in others.items():
        if holds and not world:
            raise ValueError(f"{what}, which is for the sandbox world, but oracle.kind is {oracle.kind}: change either")
    if world and policy.own_world and policy.own_world != world:
        raise ValueError("policy.world and oracle.world differ: set both to the same world")


def given_by(method: Method) -> Literal["responses", "pairs"] | None:
    """The given responses that the method needs."""
    return next((phase.given for phase in method.phases(1) if phase.given), None)


def check_given(method: Method, prompts: PromptSettings) -> None:
    """Raise unless the prompts come with the given responses that the method uses.

    Raises:
        ValueError: it uses something else.
    """
    needed, named = given_by(method), list(prompts.given)
    if not prompts.path or needed is None:
        if named:
            uses = "the sandbox world gives its own" if needed else f"{method.name} uses none"
            raise ValueError(f"prompts.given is {named}, but {uses}: remove it")
    elif needed == "pairs" and len(named) not in (0, 2):
        raise ValueError(
            f"method {method.name} learns from given pairs: set prompts.given to the two fields of an entry that hold "
            f"the chosen and the rejected response, such as [chosen, rejected]; it is {named}"
        )


def check_sets(iterations: int, prompts: PromptSettings, evaluation: PromptSource | None) -> None:
    """There is a set of prompts for each iteration, where there are several, and one for evaluation if it has its own.

    Raises:
        ValueError: there are too few, or a path is missing.
    """
    if not all(prompts.paths):
        raise ValueError("prompts.path has an empty path: remove it")
    if 1 < len(prompts.paths) < iterations:
        raise ValueError(
            f"prompts.path has {len(prompts.paths)} sets, one for each iteration, and run.iterations is {iterations}: "
            f"add sets at its end, or set run.iterations to {len(prompts.paths)}"
        )
    if evaluation and not all(evaluation.paths or [""]):
        raise ValueError("evaluation.prompts.path: required, but missing")
    if evaluation and not prompts.path:
        raise ValueError("evaluation.prompts is set, but prompts.path is empty: remove the first or set the last")


def check_sampling(method: Method, engine: SamplingEngine, dtype: Dtype) -> None:
    """The engine can sample what the method samples.

    Raises:
        ValueError: it cannot sample a mixture of policies, or not in that precision.
    """
    # At t = 1 both policies of a mixture are the reference.
    mixes = any(len(sampling.weights) > 1 for phase in method.phases(2) for sampling in phase.samples)
    if mixes and not engine.mixes:
        able = " or ".join(kind for kind, each in SAMPLING_ENGINES.members.items() if each.mixes)
        raise ValueError(
            f"method {method.name} samples a mixture of two policies token by token, which rollout.engine "
            f"{engine.kind} cannot: set rollout.engine to {able}"
        )
    if dtype not in engine.dtypes:
        raise ValueError(
            f"rollout.engine {engine.kind} does not compute in {dtype}: set rollout.dtype to "
            f"{' or '.join(engine.dtypes)}"
        )
