"""Rollout records: responses of one policy to prompts, each with its own seed."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ..core.seeds import derive_seed
from ..models.chat import prompt_ids, response_ids
from ..models.folders import Load, load_causal_lm, load_tokenizer, stop_token_ids
from ..storage.records import Prompt, Rollout
from .sampler import Sampler
from .settings import GenerationSettings

Role = Literal["pair", "opponent"]


class Samplers:
    """The samplers of one task: each policy or mixture is opened once, when it is first asked for, and closed at the
    end."""

    def __init__(self, settings: GenerationSettings, load: Load = load_causal_lm) -> None:
        """`load` opens a folder's model."""
        self.settings, self._load = settings, load
        self._opened: dict[tuple[tuple[Path, float], ...], Sampler] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sampler in self._opened.values():
            sampler.close()

    def open(self, policies: Mapping[Path, float]) -> Sampler:
        """The sampler of one folder of weight 1, or of several, whose token-level geometric mixture is sampled.

        Raises:
            UserError: as the engine's: a folder that cannot be opened.
        """
        key = tuple(policies.items())
        if key not in self._opened:
            self._opened[key] = self.settings.engine.open(policies, self.settings.dtype, self._load)
        return self._opened[key]

    def rows(
        self,
        policies: Mapping[Path, float],
        work: Sequence[tuple[Prompt, int]],
        *,
        role: Role,
        temperature: float,
        seed: Sequence[int | str],
    ) -> Iterator[list[Rollout]]:
        """Rows of the rollout record, micro-batch by micro-batch, for (prompt, sample index) in `work`.

        A response's randomness is a function of `seed`, the prompt's row id and the sample index alone.

        Raises:
            UserError: as `open`, or a prompt that does not fit.
        """
        settings, sampler = self.settings, self.open(policies)
        tokens = {prompt["row_id"]: prompt_ids(sampler.tokenizer, prompt["messages"]) for prompt, _ in work}
        batches = sampler.sample(
            [tokens[prompt["row_id"]] for prompt, _ in work],
            [derive_seed(*seed, prompt["row_id"], index) for prompt, index in work],
            temperature=temperature,
            top_p=settings.top_p,
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
        )
        rest = iter(work)
        for batch in batches:
            yield [
                {
                    "row_id": prompt["row_id"],
                    "sample": index,
                    "role": role,
                    "prompt_ids": tokens[prompt["row_id"]],
                    "response_ids": response.ids,
                    "text": response.text,
                    "finish": response.finish,
                }
                # The batch comes first: zip stops at its end without taking one too many of the rest.
                for response, (prompt, index) in zip(batch, rest, strict=False)
            ]


def given_rows(folder: Path, prompts: Sequence[Prompt], first: int) -> list[Rollout]:
    """Rows of the rollout record for the responses that come with the prompts, as the policy in `folder` would write
    them; sample indices from `first` on."""
    tokenizer = load_tokenizer(folder)
    eos = stop_token_ids(folder, tokenizer)[0]
    return [
        {
            "row_id": prompt["row_id"],
            "sample": first + index,
            "role": "given",
            "prompt_ids": prompt_ids(tokenizer, prompt["messages"]),
            "response_ids": response_ids(tokenizer, text, eos),
            "text": text,
            "finish": "stop",
        }
        for prompt in prompts
        for index, text in enumerate(prompt["given"])
    ]
