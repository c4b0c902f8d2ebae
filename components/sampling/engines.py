"""The engines that sample: `AnySamplingEngine` is the recipe's `rollout.engine`, told apart by its `kind`."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from ..core.runtimes import Runtime
from ..core.settings import Variant
from ..core.variants import Variants
from ..models.dialogues import named_ends
from ..models.folders import Dtype, Load, load_tokenizer, read_config
from ..models.positions import longest_input
from ..models.vllm_engine import VllmSettings, close_all, opening
from .sampler import Sampler
from .transformers_sampler import TransformersSampler
from .vllm_sampler import SETTING, VllmSampler

_LONGEST = 8192
"""The most tokens of an input that vLLM has room for where nothing says how long inputs are."""


class SamplingEngine(Variant, ABC):
    """Interface of all sampling engines; group of entry points: `nashflow.samplers`."""

    runtime: ClassVar[Runtime] = "steps"
    """The runtime (image) that it needs."""
    mixes: ClassVar[bool] = False
    """Whether it samples the token-level geometric mixture of several policies."""
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16", "float64")
    """The precisions in which it samples."""

    @property
    def exact(self) -> bool:
        """Whether it samples the policy as its precision has it."""
        return True

    @abstractmethod
    def check(self) -> None:
        """Refuse, with a UserError, an engine that no image has."""

    def require_here(self) -> None:
        """Refuse, with a UserError, an engine that cannot run on this machine, where its image can."""

    @contextmanager
    def harness(self, folder: Path, dtype: Dtype, load: Load, batch_size: int, **more: Any) -> Iterator[Any]:
        """lm-eval's model of the policy in a folder, with further arguments; it is closed at the end of the block.

        It runs in transformers, where an engine does not say otherwise.
        """
        from lm_eval.models.huggingface import HFLM

        tokenizer = load_tokenizer(folder)
        ends = named_ends(folder, tokenizer)

        class Ending(HFLM):  # type: ignore[misc]
            """Ends each answer of a batch by itself: lm-eval alone goes on until the last one ends, since the model has
            no generation settings, which name its ends."""

            def _model_generate(self, *asked: Any, **settings: Any) -> Any:
                return super()._model_generate(*asked, eos_token_id=ends, **settings)

        yield Ending(pretrained=load(folder, dtype), tokenizer=tokenizer, batch_size=batch_size, **more)

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


class Vllm(SamplingEngine, VllmSettings):
    """vLLM's engine in this process, on CPUs or accelerators; `rollout.batch_size` sequences run together at any
    time."""

    kind: Literal["vllm"] = "vllm"
    runtime: ClassVar[Runtime] = "vllm"
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16")

    @property
    def exact(self) -> bool:
        """Whether the KV cache has the model's precision."""
        return self.kv_cache_dtype == "auto"

    def check(self) -> None:
        """Nothing to refuse: its image has it."""

    def require_here(self) -> None:
        """Refuse it where vLLM is not installed, or finds fewer accelerators than it is asked for."""
        self.require(SETTING)

    @contextmanager
    def harness(self, folder: Path, dtype: Dtype, load: Load, batch_size: int, **more: Any) -> Iterator[Any]:
        """As for all engines, in vLLM; inputs are read up to `_LONGEST` tokens."""
        longest = min(longest_input(read_config(folder)) or _LONGEST, _LONGEST)
        with opening(folder, self, SETTING, dtype, longest, batch_size) as arguments:
            from lm_eval.models.vllm_causallms import VLLM

            ends = named_ends(folder, load_tokenizer(folder))

            class Ending(VLLM):  # type: ignore[misc]
                """Ends answers at all tokens that end them: vLLM alone knows the tokenizer's."""

                def _model_generate(self, requests: Any, generate: bool = False, sampling_params: Any = None) -> Any:
                    for each in sampling_params or ():
                        each.stop_token_ids = ends
                    return super()._model_generate(requests, generate, sampling_params)

            pretrained = arguments.pop("model")
            # All requests at once, of which vLLM runs `batch_size` together; "auto" would do the same, with a bar.
            model = Ending(pretrained=pretrained, batch_size=sys.maxsize, **arguments, **more)
        try:
            yield model
        finally:
            model.model.llm_engine.engine_core.shutdown()
            close_all()

    def open(self, policies: Mapping[Path, float], dtype: Dtype, load: Load) -> Sampler:
        """The one policy; the engine reads its folder by itself."""
        (folder,) = policies
        return VllmSampler(folder, self, dtype)


SAMPLING_ENGINES = Variants("nashflow.samplers", SamplingEngine, Transformers, Vllm)
AnySamplingEngine = Annotated[SamplingEngine, SAMPLING_ENGINES]
