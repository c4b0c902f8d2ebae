"""Rollout records: responses of one policy to prompts, each with its own seed."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.seeds import derive_seed
from ..models.chat import prompt_ids, response_ids
from ..models.folders import load_tokenizer, stop_token_ids
from .settings import GenerationSettings
from .transformers_engine import TransformersEngine

ENGINES = {"transformers": TransformersEngine}
"""By the name that a recipe has for its engine."""


def sample_rows(
    policies: Mapping[Path, float],
    settings: GenerationSettings,
    work: Sequence[tuple[dict[str, Any], int]],
    *,
    role: str,
    temperature: float,
    seed: Sequence[int | str],
) -> Iterator[list[dict[str, Any]]]:
    """Rows of the rollout record, micro-batch by micro-batch, for (prompt, sample index) in `work`.

    `policies` is one folder of weight 1, or several, whose token-level geometric mixture is sampled. A response's
    randomness is a function of `seed`, the prompt's row id and the sample index alone.

    Raises:
        UserError: as the engine's: a folder that cannot be opened, a prompt that does not fit.
    """
    engine = ENGINES[settings.engine](policies, settings.dtype)
    tokens = {prompt["row_id"]: prompt_ids(engine.tokenizer, prompt["messages"]) for prompt, _ in work}
    batches = engine.sample(
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


def given_rows(folder: Path, prompts: Sequence[dict[str, Any]], first: int) -> list[dict[str, Any]]:
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
