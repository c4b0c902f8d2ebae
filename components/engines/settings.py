"""How a policy is run: the recipe's `rollout` section for sampling, its `logprobs` section for scoring."""

from typing import Annotated, Literal

from pydantic import Field

from ..shared.models import Dtype
from ..shared.settings import SHAPES_GRAPH, Settings


class GenerationSettings(Settings):
    """The recipe's `rollout` section: how a policy is sampled."""

    engine: Annotated[Literal["transformers", "vllm"], SHAPES_GRAPH] = "transformers"
    """What generates."""
    dtype: Dtype = "float32"
    """Precision of the sampling policy. In float64 no token depends on the batch; in float32 about one in ten thousand
    does, because its random number lies within rounding of a boundary."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus sampling; 1 samples the policy itself, as the theory has it."""
    max_new_tokens: int = Field(512, ge=1)
    """Longest response, in tokens, its EOS included."""
    batch_size: int = Field(64, ge=1)
    """Sequences generated together."""


class ScoringSettings(Settings):
    """The recipe's `logprobs` section: how responses are scored."""

    engine: Literal["transformers"] = "transformers"
    """What scores. Values of different engines or precisions differ by up to a nat and are never mixed."""
    dtype: Dtype = "float32"
    """Precision of the forward pass; sums are stored in float32. In float64 the batch changes nothing of what is
    stored, so that values repeat bit by bit whatever was cached before."""
    batch_tokens: int = Field(4096, ge=1)
    """Tokens of a micro-batch, padding included."""
