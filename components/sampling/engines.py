"""The engines that sample: `AnySamplingEngine` is the recipe's `rollout.engine`, told apart by its `kind`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NoReturn

from ..core.errors import UserError
from ..core.runtimes import Runtime
from ..core.settings import Variant
from ..core.variants import Variants
from ..models.folders import Dtype, Load
from .sampler import Sampler
from .transformers_sampler import TransformersSampler


class SamplingEngine(Variant, ABC):
    """Interface of all sampling engines; group of entry points: `nashflow.samplers`."""

    runtime: ClassVar[Runtime] = "steps"
    """The runtime (image) that it needs."""
    mixes: ClassVar[bool] = False
    """Whether it samples the token-level geometric mixture of several policies."""

    @abstractmethod
    def check(self) -> None:
        """Refuse, with a UserError, an engine that is not available here."""

    @abstractmethod
    def open(self, policies: Mapping[Path, float], dtype: Dtype, load: Load) -> Sampler:
        """A sampler of one policy's folder, or of the mixture of several by their weights, which sum to one.

        `load` opens a folder's model; models that it has opened before may be shared with others and never changed.
        """


class Transformers(SamplingEngine):
    """Transformers' `generate`, on CPU or one GPU."""

    kind: Literal["transformers"] = "transformers"
    mixes: ClassVar[bool] = True

    def check(self) -> None:
        """Nothing to refuse: transformers comes with the steps."""

    def open(self, policies: Mapping[Path, float], dtype: Dtype, load: Load) -> Sampler:
        """The policies in this process."""
        return TransformersSampler(policies, dtype, load)


class Vllm(SamplingEngine):
    """VLLM's engine, on accelerators."""

    kind: Literal["vllm"] = "vllm"
    runtime: ClassVar[Runtime] = "vllm"

    def check(self) -> NoReturn:
        """Refuse it: this version has no sampler for vLLM."""
        raise UserError("rollout.engine: vllm is not available here; set it to transformers")

    def open(self, policies: Mapping[Path, float], dtype: Dtype, load: Load) -> Sampler:
        """Refuse it, too."""
        self.check()


SAMPLING_ENGINES = Variants("nashflow.samplers", SamplingEngine, Transformers, Vllm)
AnySamplingEngine = Annotated[SamplingEngine, SAMPLING_ENGINES]
