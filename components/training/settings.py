"""Settings of the training step."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..core.settings import SHAPES_GRAPH
from ..fitting.held_out import HeldOutSettings
from ..fitting.settings import FittingSettings
from ..methods import AnyMethod
from ..runtime.protocol import StepPrompts, StepSettings
from ..scoring.groups import Group
from ..scoring.layouts import AnyLayout
from ..scoring.layouts.padded import Padded
from ..scoring.settings import ScoringSettings
from .adapters import AnyAdapter, WholeWeights
from .engines import AnyTrainingEngine
from .engines.base import TrainingEngine
from .engines.torch import Torch
from .launchers import AnyLauncher
from .launchers.process import Process


class TrainingSettings(FittingSettings):
    """The recipe's `training` section: how the objective is minimised, in each iteration anew."""

    engine: Annotated[AnyTrainingEngine, SHAPES_GRAPH] = Torch()
    """The training engine: torch in one process, or DeepSpeed's ZeRO on several accelerators."""
    adapter: AnyAdapter = WholeWeights()
    """What is trained: every weight (none), or low-rank products beside frozen weights (lora; qlora: in four bits),
    which are merged into them when the policy is saved."""
    launcher: AnyLauncher = Process()
    """The processes that train a policy together, and where they run."""
    layout: AnyLayout = Padded()
    """How prompts and responses lie in a forward pass. padded: a row for each response, for every model; packed:
    without padding; shared_prefix, the fastest: without padding, and a prompt once for all of its responses in a pass.
    All give the same losses and gradients, but for rounding; packed and shared_prefix refuse models with other layers
    than causal attention."""
    save_dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the saved policy, which everything else reads; training's own weights are float32. bfloat16 keeps
    three digits of each, so small steps are lost to it: `h_saved` among training's figures is the margin that is left,
    and a warning says so where a third of it is gone."""
    masters: bool | None = Field(None, exclude_if=lambda masters: masters is None)
    """Keep the weights in float32 beside a policy that is saved rounded, and start the next training from them, so that
    steps too small for one iteration add up over several; left out: where save_dtype is not float32, but not with the
    adapter qlora, whose training starts from four bits. The policy that is sampled, measured and anchored is the
    rounded one. A master goes when no training to come starts from it."""

    held_out: HeldOutSettings | None = Field(None, exclude_if=lambda held_out: held_out is None)
    """Pairs that are measured on instead of trained on, and may stop the training early; null: none."""

    @model_validator(mode="after")
    def _together(self) -> "TrainingSettings":
        if self.launcher.several and not self.engine.several:
            raise ValueError(
                f"engine {self.engine.kind} trains in one process: set launcher to process, or engine to deepspeed"
            )
        return self

    @model_validator(mode="after")
    def _masters_are_started_from(self) -> "TrainingSettings":
        if self.masters and not self.adapter.exact:
            raise ValueError(f"masters is true, but adapter {self.adapter.kind} starts from fewer bits: leave it out")
        return self

    @property
    def keeps_masters(self) -> bool:
        """Whether a policy's weights are kept in float32, too."""
        return self.save_dtype != "float32" and self.masters is not False and self.adapter.exact


def check_precision(scoring: ScoringSettings, engine: TrainingEngine) -> None:
    """The cached log-probabilities have the precision in which they are trained on.

    Their reduction, a sum or a mean over a response's tokens, is the method's setting, for both.

    Raises:
        ValueError: says what differs, by how much, and what to set.
    """
    if engine.dtype == "bfloat16" and not scoring.engine.as_training:
        raise ValueError(
            f"training.engine {engine.kind} computes in bfloat16, in which log-probabilities of {scoring.engine.kind} "
            f"differ from it by {_APART}: set logprobs.engine to transformers and logprobs.dtype to bfloat16"
        )
    if ("bfloat16" in (scoring.dtype, engine.dtype)) and scoring.dtype != engine.dtype:
        raise ValueError(
            f"logprobs.dtype is {scoring.dtype}, but training.engine {engine.kind} computes in {engine.dtype}, and "
            f"log-probabilities of the two differ by {_APART}: set logprobs.dtype to {engine.dtype}"
        )


def check_budget(training: TrainingSettings, prompt: int, response: int) -> None:
    """A micro-batch holds the longest texts that the settings admit.

    Args:
        training: the recipe's.
        prompt: tokens of the longest prompt, its prompts.max_tokens.
        response: tokens of the longest response, its rollout.max_new_tokens.

    Raises:
        ValueError: not even one of a pair's two texts fits; says what to set.
    """
    if (text := prompt + response) > training.micro_batch_tokens:
        pair = training.layout.tokens(Group(range(prompt), [range(response)] * 2))
        raise ValueError(
            f"prompts.max_tokens is {prompt} and rollout.max_new_tokens {response}, so that a text may have {text} "
            f"tokens, and training.micro_batch_tokens is {training.micro_batch_tokens}: set that to at least {pair}, "
            "for a pair of such texts, or lower the other two"
        )


_APART = "0.1 to 1.3 nats a response (measured at 16 to 500 tokens)"


class TrainingStep(StepSettings):
    """Everything the training step reads."""

    method: AnyMethod
    prompts: StepPrompts
    training: TrainingSettings
