"""The engines that run the models of oracles: `AnyOracleEngine` is the recipe's `oracle.engine`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from ...core.runtimes import Runtime
from ...core.settings import Variant
from ...core.variants import Variants
from ...models.folders import Dtype
from .base import OracleModel
from .transformers_models import Classifier, LanguageModel


class OracleEngine(Variant, ABC):
    """Interface of the engines of oracles; group of entry points: `nashflow.oracle_engines`."""

    runtime: ClassVar[Runtime] = "steps"
    """The runtime (image) that it needs."""
    reserved: ClassVar[int] = 0
    """Tokens of a language model's context that it keeps for the answer."""

    def check(self, dtype: Dtype) -> None:
        """Refuse, with a UserError, an engine that is not available here, or not in a precision."""

    @abstractmethod
    def language_model(self, folder: Path, dtype: Dtype, batch_size: int, tokens: Sequence[int]) -> OracleModel:
        """The folder's language model: it answers with the log-probabilities of these tokens as the next one."""

    @abstractmethod
    def classifier(self, folder: Path, dtype: Dtype, batch_size: int) -> OracleModel:
        """The folder's sequence classifier: it answers with the raw outputs of its head."""


class TransformersEngine(OracleEngine):
    """Transformers, on CPU or one GPU."""

    kind: Literal["transformers"] = "transformers"

    def language_model(self, folder: Path, dtype: Dtype, batch_size: int, tokens: Sequence[int]) -> OracleModel:
        """The language model in this process."""
        return LanguageModel(folder, dtype, batch_size, tokens)

    def classifier(self, folder: Path, dtype: Dtype, batch_size: int) -> OracleModel:
        """The classifier in this process."""
        return Classifier(folder, dtype, batch_size)


AnyOracleEngine = Annotated[OracleEngine, Variants("nashflow.oracle_engines", OracleEngine, TransformersEngine)]
