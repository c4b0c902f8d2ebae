"""The engines that score: `AnyScoringEngine` is the recipe's `logprobs.engine`, told apart by its `kind`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol

from ..core.runtimes import Runtime
from ..core.settings import Variant
from ..core.variants import Variants
from ..models.folders import Dtype, Load
from .logprobs import Pair, TransformersScorer


class Scorer(Protocol):
    """An opened policy that scores responses."""

    def score(self, pairs: Sequence[Pair], max_tokens: int) -> list[float]:
        """log π(response | prompt) in nats, summed over tokens, in the order of `pairs`.

        The micro-batches are those of `bucket`: at most `max_tokens` with padding.
        """
        ...


class ScoringEngine(Variant, ABC):
    """Interface of all scoring engines; group of entry points: `nashflow.scorers`."""

    runtime: ClassVar[Runtime] = "steps"
    """The runtime (image) that it needs."""
    as_training: ClassVar[bool] = False
    """Whether it computes by `sequence_logprobs`, as training does."""

    @abstractmethod
    def check(self) -> None:
        """Refuse, with a UserError, an engine that is not available here."""

    @abstractmethod
    def open(self, folder: Path, dtype: Dtype, load: Load) -> Scorer:
        """A scorer of the policy in a folder; `load` opens its model, which others may share."""


class Transformers(ScoringEngine):
    """One forward pass of transformers, on CPU or one GPU."""

    kind: Literal["transformers"] = "transformers"
    as_training: ClassVar[bool] = True

    def check(self) -> None:
        """Nothing to refuse: transformers comes with the steps."""

    def open(self, folder: Path, dtype: Dtype, load: Load) -> Scorer:
        """The policy in this process."""
        return TransformersScorer(load(folder, dtype))


SCORING_ENGINES = Variants("nashflow.scorers", ScoringEngine, Transformers)
AnyScoringEngine = Annotated[ScoringEngine, SCORING_ENGINES]
