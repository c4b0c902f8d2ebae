"""How a policy is sampled: the recipe's `rollout` section."""

from typing import Annotated

from pydantic import Field

from ..core.settings import SHAPES_GRAPH, Settings
from ..models.folders import Dtype
from .engines import AnySamplingEngine, Transformers


class GenerationSettings(Settings):
    """The recipe's `rollout` section: how a policy is sampled."""

    engine: Annotated[AnySamplingEngine, SHAPES_GRAPH] = Transformers()
    """The engine that generates responses."""
    dtype: Dtype = "float32"
    """Precision of the sampling policy. In float64, sampled tokens do not depend on the batch; in float32 about one in
    ten thousand does, because of rounding."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus sampling; 1 samples the policy itself, as the theory assumes."""
    max_new_tokens: int = Field(512, ge=1)
    """Longest response in tokens, including its EOS."""
    batch_size: int = Field(64, ge=1)
    """Sequences generated together."""
