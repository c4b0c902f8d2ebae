"""Models that oracles ask by vLLM, whose prefix cache reads the common beginning of a prompt's sequences once."""

import math
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...models.finite import not_finite
from ...models.folders import Dtype, load_tokenizer, read_config
from ...models.vllm_engine import VllmEngine, VllmSettings
from ...runtime.progress import over
from ..inference import REMEDY, context_length
from .base import Ids, OracleModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

SETTING = "oracle.engine"


class VllmModel(OracleModel):
    """What these models share. The engine is opened when the lengths of its inputs are known."""

    runner: ClassVar[str]
    """What vLLM runs the model for."""
    reserved: ClassVar[int] = 0
    """Tokens of the context that vLLM keeps for what it generates."""

    def __init__(self, folder: Path, settings: VllmSettings, dtype: Dtype, batch_size: int) -> None:
        """`batch_size` sequences run together. Raises UserError as `VllmSettings.require`."""
        settings.require(SETTING)
        self._folder, self._settings, self._dtype, self._batch_size = folder, settings, dtype, batch_size
        self._context = context_length(read_config(folder), load_tokenizer(folder))
        self.longest = self._context - self.reserved
        self._engine: VllmEngine | None = None

    def read(self, sequences: Sequence[Ids], prompts: Sequence[Hashable]) -> "NDArray[np.float64]":
        """The model's answers, (sequences, numbers); the sequences of a prompt are read one after the other."""
        first = {prompt: index for index, prompt in reversed(list(enumerate(prompts)))}
        order = sorted(range(len(sequences)), key=lambda index: first[prompts[index]])
        answers: list[list[float]] = [[]] * len(sequences)
        engine = self._opened(max(map(len, sequences)))
        outputs = engine.answers([sequences[index] for index in order], [self._parameters()] * len(order))
        read = zip(order, outputs, strict=True)
        for index, output in over(read, "texts", len(order), amounts=lambda each: {"tokens": len(sequences[each[0]])}):
            answers[index] = self._numbers(output)
            if not all(map(math.isfinite, answers[index])):
                raise not_finite(self._folder, self._dtype, sequences[index], REMEDY, "oracle")
        return np.array(answers, np.float64)

    @abstractmethod
    def _parameters(self) -> Any:
        """What vLLM is asked about a sequence."""

    @abstractmethod
    def _numbers(self, output: Any) -> list[float]:
        """The numbers in its output."""

    def _opened(self, longest: int) -> VllmEngine:
        """The engine; another one if this one was opened for shorter sequences. Lengths are rounded up."""
        needed = longest + self.reserved
        if not self._engine or self._engine.closed or needed > self._engine.longest:
            room = min(self._context, 1 << (needed - 1).bit_length())
            self._engine = VllmEngine(
                self._folder,
                self._settings,
                SETTING,
                self._dtype,
                longest=room,
                together=self._batch_size,
                of="oracle",
                remedy=REMEDY,
                runner=self.runner,
            )
        return self._engine


class VllmLanguageModel(VllmModel):
    """A language model that is asked how likely some tokens are to come next."""

    runner = "generate"
    reserved = 1

    def __init__(
        self, folder: Path, settings: VllmSettings, dtype: Dtype, batch_size: int, tokens: Sequence[int]
    ) -> None:
        """It answers with the log-probabilities of `tokens`."""
        super().__init__(folder, settings, dtype, batch_size)
        self._tokens = list(tokens)

    def _parameters(self) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprob_token_ids=self._tokens,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _numbers(self, output: Any) -> list[float]:
        found = output.outputs[0].logprobs[0]
        return [float(found[token].logprob) for token in self._tokens]


class VllmClassifier(VllmModel):
    """A sequence classifier that is asked for the raw outputs of its head."""

    runner = "pooling"

    def _parameters(self) -> Any:
        from vllm import PoolingParams

        # By default, vLLM answers with the sigmoid of a single output.
        return PoolingParams(task="classify", use_activation=False)

    def _numbers(self, output: Any) -> list[float]:
        numbers: list[float] = output.outputs.data.tolist()
        return numbers
