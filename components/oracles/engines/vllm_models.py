"""Models that oracles ask by vLLM, whose prefix cache reads the common beginning of a prompt's sequences once."""

import math
from abc import abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...models.finite import not_finite
from ...models.folders import Dtype, load_tokenizer, read_config
from ...models.vllm_engine import VllmEngine, VllmSettings
from ...models.vllm_weights import causal_architecture, load_format_without
from ...runtime.progress import over
from ..inference import REMEDY, context_length
from .base import Ids, OracleModel
from .pieces import pieces

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
        self._begun = set[Hashable]()

    def read(self, sequences: Sequence[Ids], prompts: Sequence[Hashable]) -> "NDArray[np.float64]":
        """The model's answers, (sequences, numbers)."""
        answers: list[list[float]] = [[]] * len(sequences)
        engine = self._opened(max(map(len, sequences)))
        waves = (self._wave(engine, sequences, wave) for wave in self._waves(sequences, prompts))
        read = ([each] for each in chain.from_iterable(waves))
        for [(index, output)] in over(
            read, "texts", len(sequences), amounts=lambda each: {"tokens": len(sequences[each[0][0]])}
        ):
            answers[index] = self._numbers(output)
            if not all(map(math.isfinite, answers[index])):
                raise not_finite(self._folder, self._dtype, sequences[index], REMEDY, "oracle")
        return np.array(answers, np.float64)

    def _waves(self, sequences: Sequence[Ids], prompts: Sequence[Hashable]) -> tuple[list[int], list[int]]:
        """The sequences by index: those to read first, and the others, the sequences of a prompt side by side.

        What is being read is not in the prefix cache yet. So one sequence of each prompt that is new goes ahead, where
        the beginning that the others share with it is long.
        """
        begun, self._begun = self._begun, set(prompts)
        made = pieces(sequences, prompts, self._batch_size)
        heads = (piece.indices[0] for piece in made if piece.shared)
        ahead = [index for index in heads if prompts[index] not in begun]
        first = set(ahead)
        return ahead, [index for piece in made for index in piece.indices if index not in first]

    def _wave(self, engine: VllmEngine, sequences: Sequence[Ids], wave: Sequence[int]) -> Iterator[tuple[int, Any]]:
        answers = engine.answers([sequences[index] for index in wave], [self._parameters()] * len(wave))
        return ((wave[number], output) for number, output in answers)

    @abstractmethod
    def _parameters(self) -> Any:
        """What vLLM is asked about a sequence."""

    @abstractmethod
    def _numbers(self, output: Any) -> list[float]:
        """The numbers in its output."""

    def _further(self) -> dict[str, Any]:
        """Further arguments of the engine."""
        return {}

    def _opened(self, longest: int) -> VllmEngine:
        """The engine; another one if this one was opened for shorter sequences. Lengths are rounded up."""
        needed = longest + self.reserved
        if self._engine and needed > self._engine.longest:
            self._engine.close()
        if not self._engine or self._engine.closed:
            self._begun = set()
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
                **self._further(),
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


class VllmHiddenStates(VllmModel):
    """A model that is asked for its last layer's hidden state, after the final norm, at the last token."""

    runner = "pooling"

    def __init__(
        self, folder: Path, settings: VllmSettings, dtype: Dtype, batch_size: int, head: Sequence[str]
    ) -> None:
        """`head` names the tensors that stay in the folder.

        Raises:
            UserError: vLLM has no causal model of this type.
        """
        super().__init__(folder, settings, dtype, batch_size)
        self._head, self._architecture = head, causal_architecture(folder, SETTING)

    def _further(self) -> dict[str, Any]:
        # The folder's own architecture is that of its custom code.
        overrides = {"architectures": [self._architecture]}
        loaded = load_format_without(self._head)
        return {"own_head": True, "convert": "embed", "hf_overrides": overrides, "load_format": loaded}

    def _parameters(self) -> Any:
        from vllm import PoolingParams

        # By default, vLLM scales a state to length one.
        return PoolingParams(task="embed", use_activation=False)

    def _numbers(self, output: Any) -> list[float]:
        numbers: list[float] = output.outputs.data.tolist()
        return numbers
