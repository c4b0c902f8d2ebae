"""The engines that run the models of oracles: `AnyOracleEngine` is the recipe's `oracle.engine`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from ...core.runtimes import Runtime
from ...core.settings import Variant
from ...core.variants import Variants
from ...models.folders import Dtype
from ...models.vllm_engine import VllmSettings
from .base import OracleModel
from .transformers_models import Classifier, HiddenStates, LanguageModel
from .vllm_models import SETTING, VllmClassifier, VllmHiddenStates, VllmLanguageModel


class OracleEngine(Variant, ABC):
    """Interface of the engines of oracles; group of entry points: `nashflow.oracle_engines`."""

    runtime: ClassVar[Runtime] = "steps"
    """The runtime (image) that it needs."""
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16", "float64")
    """The precisions in which it computes."""
    reserved: ClassVar[int] = 0
    """Tokens of a language model's context that are not for reading."""

    @property
    def memory(self) -> float:
        """Share of an accelerator's memory that it keeps for itself."""
        return 0.0

    def require_here(self) -> None:
        """Refuse, with a UserError, an engine that cannot run on this machine, where its image can."""

    @abstractmethod
    def language_model(self, folder: Path, dtype: Dtype, batch_size: int, tokens: Sequence[int]) -> OracleModel:
        """The folder's language model: it answers with the log-probabilities of these tokens as the next one."""

    @abstractmethod
    def classifier(self, folder: Path, dtype: Dtype, batch_size: int) -> OracleModel:
        """The folder's sequence classifier: it answers with the raw outputs of its head."""

    @abstractmethod
    def hidden_states(self, folder: Path, dtype: Dtype, batch_size: int, head: Sequence[str]) -> OracleModel:
        """The folder's model without the tensors of its `head`: it answers with the hidden state at the last token."""


class TransformersEngine(OracleEngine):
    """Transformers, on CPU or one GPU."""

    kind: Literal["transformers"] = "transformers"

    def language_model(self, folder: Path, dtype: Dtype, batch_size: int, tokens: Sequence[int]) -> OracleModel:
        """The language model in this process."""
        return LanguageModel(folder, dtype, batch_size, tokens)

    def classifier(self, folder: Path, dtype: Dtype, batch_size: int) -> OracleModel:
        """The classifier in this process."""
        return Classifier(folder, dtype, batch_size)

    def hidden_states(self, folder: Path, dtype: Dtype, batch_size: int, head: Sequence[str]) -> OracleModel:
        """The model in this process."""
        return HiddenStates(folder, dtype, batch_size)


class VllmOracleEngine(OracleEngine, VllmSettings):
    """vLLM's engine in this process, on CPUs or accelerators."""

    kind: Literal["vllm"] = "vllm"
    runtime: ClassVar[Runtime] = "vllm"
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16")
    reserved: ClassVar[int] = VllmLanguageModel.reserved

    @property
    def memory(self) -> float:
        """As its settings have it."""
        return self.gpu_memory

    def require_here(self) -> None:
        """Refuse it where vLLM is not installed, or finds fewer accelerators than it is asked for."""
        self.require(SETTING)

    def language_model(self, folder: Path, dtype: Dtype, batch_size: int, tokens: Sequence[int]) -> OracleModel:
        """The language model, opened when it is asked."""
        return VllmLanguageModel(folder, self, dtype, batch_size, tokens)

    def classifier(self, folder: Path, dtype: Dtype, batch_size: int) -> OracleModel:
        """The classifier, opened when it is asked."""
        return VllmClassifier(folder, self, dtype, batch_size)

    def hidden_states(self, folder: Path, dtype: Dtype, batch_size: int, head: Sequence[str]) -> OracleModel:
        """The model, opened when it is asked."""
        return VllmHiddenStates(folder, self, dtype, batch_size, head)


AnyOracleEngine = Annotated[
    OracleEngine, Variants("nashflow.oracle_engines", OracleEngine, TransformersEngine, VllmOracleEngine)
]
