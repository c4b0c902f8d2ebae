"""What generates responses: the interface that each engine implements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Sampled:
    """One sampled response."""

    ids: list[int]
    """Its tokens, including the EOS when the model ended by itself."""
    finish: Literal["stop", "length"]
    text: str
    """Its tokens decoded, special tokens left out."""


class Engine(Protocol):
    """An opened policy that can be sampled from."""

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        *,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        batch_size: int,
    ) -> Iterator[list[Sampled]]:
        """One response for each row, micro-batch after micro-batch in the order of the rows.

        `prompts` holds token ids, a prompt once for each of its samples; `seeds` holds each sample's own seed, which
        with the prompt and the settings alone decides its tokens: not the batch size, the order or a restart.
        """
        ...
