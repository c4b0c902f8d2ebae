"""Settings of the training step."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..core.settings import SHAPES_GRAPH, Settings
from ..methods import AnyMethod
from ..runtime.protocol import StepPrompts, StepSettings
from ..scoring.settings import ScoringSettings
from .engines import AnyTrainingEngine, Torch, TrainingEngine


class TrainingSettings(Settings):
    """The recipe's `training` section: how the objective is minimised."""

    engine: Annotated[AnyTrainingEngine, SHAPES_GRAPH] = Torch()
    """The training engine: torch in one process, or DeepSpeed's ZeRO on several accelerators."""
    learning_rate: float = Field(5e-7, gt=0.0)
    """Peak learning rate of AdamW."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Learning rate after the warm-up, within one iteration: falling to zero (cosine, linear), or constant."""
    warmup_ratio: float = Field(0.03, ge=0.0, lt=1.0)
    """Fraction of an iteration's updates in which the learning rate rises from zero."""
    epochs: int = Field(2, ge=1)
    """Passes over an iteration's pairs."""
    batch_size: int = Field(128, ge=1)
    """Pairs per update."""
    micro_batch_size: int = Field(8, ge=1)
    """Pairs per forward and backward pass; gradients are accumulated over the batch."""
    weight_decay: float = Field(0.0, ge=0.0)
    """Decoupled weight decay of AdamW."""
    max_gradient_norm: float = Field(1.0, gt=0.0)
    """Gradients are clipped to this norm."""
    save_dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the saved policy, which everything else reads; training's own weights are float32. bfloat16 keeps
    three digits of each, so small steps are lost to it: `h_saved` among training's figures is the margin that is left,
    and a warning says so where a third of it is gone."""
    masters: bool | None = Field(None, exclude_if=lambda masters: masters is None)
    """Keep the weights in float32 beside a policy that is saved rounded, and start the next training from them, so that
    steps too small for one iteration add up over several; left out: where save_dtype is not float32. The policy that is
    sampled, measured and anchored is the rounded one. A master goes when no training to come starts from it."""
    checkpoint_updates: int = Field(100, ge=1)
    """Updates between two checkpoints; a restarted training resumes exactly from the last one."""

    @property
    def keeps_masters(self) -> bool:
        """Whether a policy's weights are kept in float32, too."""
        return self.save_dtype != "float32" and self.masters is not False

    @model_validator(mode="after")
    def _batches_fit(self) -> "TrainingSettings":
        if self.micro_batch_size > self.batch_size:
            raise ValueError(
                f"micro_batch_size is {self.micro_batch_size}, above batch_size: set it to at most {self.batch_size}"
            )
        return self


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


_APART = "0.1 to 1.3 nats a response (measured at 16 to 500 tokens)"


class TrainingStep(StepSettings):
    """Everything the training step reads."""

    method: AnyMethod
    prompts: StepPrompts
    training: TrainingSettings
