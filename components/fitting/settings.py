"""Settings that everything which is trained shares."""

from typing import Any, Literal

from pydantic import Field, model_validator

from ..core.settings import Settings


class FittingSettings(Settings):
    """How a model is fitted to pairs, by AdamW."""

    learning_rate: float = Field(5e-7, gt=0.0)
    """Peak learning rate of AdamW."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Learning rate after the warm-up: falling to zero (cosine, linear), or constant."""
    warmup_ratio: float = Field(0.03, ge=0.0, lt=1.0)
    """Fraction of the updates in which the learning rate rises from zero."""
    epochs: int = Field(2, ge=1)
    """Passes over the pairs."""
    batch_size: int = Field(128, ge=1)
    """Pairs per update."""
    micro_batch_tokens: int = Field(8192, ge=1)
    """Tokens per forward and backward pass: of both sides of its pairs, with prompts and padding. Gradients are
    accumulated over the batch. It changes results by rounding alone, and may change within a run."""
    weight_decay: float = Field(0.0, ge=0.0)
    """Decoupled weight decay of AdamW."""
    max_gradient_norm: float = Field(1.0, gt=0.0)
    """Gradients are clipped to this norm."""
    checkpoint_updates: int = Field(100, ge=1)
    """Updates between two checkpoints; a restarted training resumes exactly from the last one."""

    @model_validator(mode="before")
    @classmethod
    def _by_tokens(cls, data: Any) -> Any:
        if isinstance(data, dict) and "micro_batch_size" in data:
            raise ValueError(
                "micro_batch_size, in pairs, has become micro_batch_tokens, the tokens of a forward and backward pass: "
                f"set that, or leave it out: {cls.model_fields['micro_batch_tokens'].default}"
            )
        return data
