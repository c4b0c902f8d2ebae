"""The engines that score: `AnyScoringEngine` is the recipe's `logprobs.engine`, told apart by its `kind`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol

from ..core.errors import UserError
from ..core.runtimes import Runtime
from ..core.settings import Variant
from ..core.variants import Variants
from ..models.folders import Dtype, Load
from ..models.vllm_engine import VllmSettings
from .groups import Pair
from .layouts.base import Layout
from .scorer import TransformersScorer
from .vllm_scorer import SETTING, VllmScorer


class Scorer(Protocol):
    """An opened policy that scores responses."""

    def score(self, pairs: Sequence[Pair], max_tokens: int) -> list[float]:
        """log π(response | prompt) in nats, summed over tokens, in the order of `pairs`.

        The micro-batches are those of `bucket`: at most `max_tokens` each.
        """
        ...


class ScoringEngine(Variant, ABC):
    """Interface of all scoring engines; group of entry points: `nashflow.scorers`."""

    runtime: ClassVar[Runtime] = "steps"
    """The runtime (image) that it needs."""
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16", "float64")
    """The precisions in which it scores."""
    as_training: ClassVar[bool] = False
    """Whether it computes by a layout, as training does."""

    @abstractmethod
    def check(self) -> None:
        """Refuse, with a UserError, an engine that is not available here."""

    def require_here(self) -> None:
        """Refuse, with a UserError, an engine that cannot run on this machine, where its image can."""

    @abstractmethod
    def open(self, folder: Path, dtype: Dtype, load: Load, layout: Layout) -> Scorer:
        """A scorer of the policy in a folder; `load` opens its model, which others may share."""


class Transformers(ScoringEngine):
    """One forward pass of transformers, on CPU or one GPU."""

    kind: Literal["transformers"] = "transformers"
    as_training: ClassVar[bool] = True

    def check(self) -> None:
        """Nothing to refuse: transformers comes with the steps."""

    def open(self, folder: Path, dtype: Dtype, load: Load, layout: Layout) -> Scorer:
        """The policy in this process."""
        return TransformersScorer(load(folder, dtype), layout)


class Vllm(ScoringEngine, VllmSettings):
    """vLLM's engine in this process, on CPUs or accelerators. In float32 its values are as good as training's own."""

    kind: Literal["vllm"] = "vllm"
    runtime: ClassVar[Runtime] = "vllm"
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32",)

    def check(self) -> None:
        """Refuse a KV cache of another precision, in which values are not those of training."""
        if self.kv_cache_dtype != "auto":
            raise UserError(
                f"logprobs.engine.kv_cache_dtype is {self.kv_cache_dtype}, in which log-probabilities are not the "
                f"policy's: set it to auto"
            )

    def require_here(self) -> None:
        """Refuse it where vLLM is not installed, or finds fewer accelerators than it is asked for."""
        self.require(SETTING)

    def open(self, folder: Path, dtype: Dtype, load: Load, layout: Layout) -> Scorer:
        """The policy; the engine reads its folder by itself."""
        return VllmScorer(folder, self, dtype)


SCORING_ENGINES = Variants("nashflow.scorers", ScoringEngine, Transformers, Vllm)
AnyScoringEngine = Annotated[ScoringEngine, SCORING_ENGINES]
