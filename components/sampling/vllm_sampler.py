"""Generation by vLLM, on CPUs or accelerators."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.dialogues import Dialogues
from ..models.folders import Dtype, load_tokenizer, read_config
from ..models.positions import longest_input, require_room
from ..models.vllm_engine import VllmEngine, VllmSettings
from .sampler import Sampled
from .stop import Stop

if TYPE_CHECKING:
    from vllm import SamplingParams

SETTING = "rollout.engine"


class VllmSampler:
    """A policy opened for sampling with vLLM, whose engine is opened when the lengths of its inputs are known."""

    def __init__(self, folder: Path, settings: VllmSettings, dtype: Dtype) -> None:
        """Raises UserError as `VllmSettings.require` and `load_tokenizer`."""
        settings.require(SETTING)
        self.tokenizer = load_tokenizer(folder)
        self._folder, self._settings, self._dtype = folder, settings, dtype
        # In bfloat16 log-probabilities are those of no other engine.
        self._exact = dtype == "float32" and settings.kv_cache_dtype == "auto"
        self._config = read_config(folder)
        self._engine: VllmEngine | None = None

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        *,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        batch_size: int,
        stop: Stop | None = None,
    ) -> Iterator[list[tuple[int, Sampled]]]:
        """As `Sampler.sample`; temperature 0 is greedy. `batch_size` sequences run together at any time.

        Raises:
            UserError: as `VllmEngine`, or a prompt and its response do not fit the model's positions (before anything
                is sampled), or the model answers with NaN.
            ValueError: not one seed for each prompt.
        """
        require_room(self._config, prompts, max_new_tokens)
        ends = stop or Stop.of(Dialogues(self.tokenizer), ())
        wanted = [self._parameters(seed, temperature, top_p, max_new_tokens, ends) for seed in seeds]
        engine = self._opened(max(map(len, prompts), default=0) + max_new_tokens, batch_size)
        answers = engine.answers(prompts, wanted)
        return ([(row, self._sampled(output.outputs[0], ends))] for row, output in answers)

    def close(self) -> None:
        """Close the engine."""
        if self._engine:
            self._engine.close()
            self._engine = None

    def _opened(self, longest: int, together: int) -> VllmEngine:
        """The engine; another one if this one was opened for shorter inputs, or other batches.

        Lengths are rounded up, so that the pieces of a shard share it.
        """
        engine = self._engine
        if engine and (engine.closed or longest > engine.longest or together != engine.together):
            self.close()
        if not self._engine:
            room = min(longest_input(self._config) or math.inf, 1 << (longest - 1).bit_length())
            self._engine = VllmEngine(
                self._folder, self._settings, SETTING, self._dtype, longest=int(room), together=together
            )
        return self._engine

    def _sampled(self, output: Any, stop: Stop) -> Sampled:
        response = stop.response(self.tokenizer, list(output.token_ids))
        if not self._exact:
            return response
        tokens = zip(response.ids, output.logprobs, strict=False)  # what follows a stop text is no part of it
        return replace(response, logprob=sum(found[token].logprob for token, found in tokens))

    def _parameters(
        self, seed: int, temperature: float, top_p: float, max_new_tokens: int, stop: Stop
    ) -> "SamplingParams":
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        texts: dict[str, Any] = {"stop": list(stop.texts)} if stop.texts else {"detokenize": False}
        return SamplingParams(
            seed=seed & _LARGEST_SEED,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_new_tokens,
            stop_token_ids=list(stop.ids),
            ignore_eos=True,  # the stop set has it, where it ends a response
            skip_special_tokens=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            logprobs=0 if self._exact else None,  # of the sampled tokens alone
            **texts,
        )


_LARGEST_SEED = 2**63 - 1
