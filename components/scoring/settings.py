"""How responses are scored: the recipe's `logprobs` section."""

from typing import Self

from pydantic import Field, model_validator

from ..core.settings import Settings
from ..models.folders import Dtype
from .engines import AnyScoringEngine, Transformers
from .layouts import AnyLayout
from .layouts.padded import Padded


class ScoringSettings(Settings):
    """The recipe's `logprobs` section: how responses are scored."""

    engine: AnyScoringEngine = Transformers()
    """The engine that computes log-probabilities. Values from different engines or precisions differ by up to 1.3 nats
    a response: training takes those of its own precision alone, and another engine's in float32 alone."""
    dtype: Dtype = "float32"
    """Precision of the forward pass, which has to be that of the training engine: float32 with torch, bfloat16 with
    deepspeed. float64 is taken for float32, from which it differs by rounding alone: its stored values do not depend on
    the batch, so they are reproducible bit by bit, whatever is already cached. Sums are stored in float32."""
    layout: AnyLayout = Padded()
    """How prompts and responses lie in a forward pass of transformers. padded: a row for each response, for every
    model; packed: without padding; shared_prefix, the fastest: without padding, and a prompt once for all of its
    responses. All give the same values, but for rounding; packed and shared_prefix refuse models with other layers than
    causal attention."""
    batch_tokens: int = Field(4096, ge=1)
    """Tokens per micro-batch, as the layout counts them: padding included, a shared prompt once."""

    @model_validator(mode="after")
    def _computes(self) -> Self:
        if self.dtype not in self.engine.dtypes:
            raise ValueError(
                f"engine {self.engine.kind} does not score in {self.dtype}: set dtype to "
                f"{' or '.join(self.engine.dtypes)}, or engine to transformers"
            )
        return self
