"""Log-probabilities of responses by vLLM, which pads nothing."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.finite import TRAINED, not_finite
from ..models.folders import Dtype, read_config
from ..models.positions import longest_input
from ..models.vllm_engine import VllmEngine, VllmSettings
from ..runtime.progress import over
from .groups import Pair, tokens_of

if TYPE_CHECKING:
    from vllm import SamplingParams

SETTING = "logprobs.engine"
_TOGETHER = 64
"""Sequences that may run together; how many of them do is a matter of their tokens."""


class VllmScorer:
    """A policy that scores responses, whose engine is opened when the lengths of its inputs are known."""

    def __init__(self, folder: Path, settings: VllmSettings, dtype: Dtype) -> None:
        """Raises UserError as `VllmSettings.require`."""
        settings.require(SETTING)
        self._folder, self._settings, self._dtype = folder, settings, dtype
        self._context = longest_input(read_config(folder)) or math.inf
        self._engine: VllmEngine | None = None

    def score(self, pairs: Sequence[Pair], max_tokens: int) -> list[float]:
        """Sums of the responses' log-probabilities, in the order of `pairs`; at most `max_tokens` are read together.

        Raises:
            UserError: as `VllmEngine`, or a sum is no finite number.
        """
        sequences = [[*prompt, *response[:-1]] for prompt, response in pairs]
        engine = self._opened(max(map(len, sequences)) + 1, max_tokens)
        answers = engine.answers(sequences, [_parameters(response) for _, response in pairs])
        batches = ([(number, pairs[number], output)] for number, output in answers)
        scores = [math.nan] * len(pairs)
        for [(number, pair, output)] in over(batches, "sequences", len(pairs), amounts=_read):
            scores[number] = _sum(pair, output)
            if not math.isfinite(scores[number]):
                raise not_finite(self._folder, self._dtype, pair[0], TRAINED)
        return scores

    def _opened(self, longest: int, max_tokens: int) -> VllmEngine:
        """The engine; another one if this one was opened for shorter inputs. Lengths are rounded up."""
        if self._engine and longest > self._engine.longest:
            self._engine.close()
        if not self._engine or self._engine.closed:
            room = int(min(self._context, 1 << (longest - 1).bit_length()))
            self._engine = VllmEngine(
                self._folder,
                self._settings,
                SETTING,
                self._dtype,
                longest=room,
                together=_TOGETHER,
                # Logits of all that is read together are in memory at once.
                max_num_batched_tokens=max(room, max_tokens),
                enable_prefix_caching=False,
            )
        return self._engine


def _parameters(response: Sequence[int]) -> "SamplingParams":
    """The last token is the one that is to come next, so that the response needs no room for another."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        max_tokens=1,
        temperature=0.0,
        prompt_logprobs=0 if len(response) > 1 else None,
        logprob_token_ids=[response[-1]],
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _sum(pair: Pair, output: Any) -> float:
    prompt, response = pair
    before = output.prompt_logprobs[len(prompt) :] if len(response) > 1 else []
    found = [*before, output.outputs[0].logprobs[0]]
    return float(sum(each[token].logprob for token, each in zip(response, found, strict=True)))


def _read(batch: Sequence[tuple[int, Pair, Any]]) -> dict[str, int]:
    return {"tokens": tokens_of(pair for _, pair, _ in batch)}
