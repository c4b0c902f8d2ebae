"""The interface of samplers: an opened policy, or a mixture of several, that generates responses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .stop import Stop


@dataclass(frozen=True)
class Sampled:
    """One sampled response."""

    ids: list[int]
    """Its tokens, including what ended it when the model ended by itself."""
    finish: Literal["stop", "length"]
    text: str
    """Its tokens decoded, without what ended it."""
    logprob: float | None = field(default=None, compare=False)
    """Sum of its tokens' log-probabilities as the policy has them, whatever temperature and top_p, in nats and in
    float32; None where the sampler does not know it."""


class Sampler(Protocol):
    """An opened policy that can be sampled from."""

    tokenizer: "PreTrainedTokenizerBase"

    def close(self) -> None:
        """Release its resources; it cannot sample any more."""

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        *,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        batch_size: int,
        stop: "Stop | None" = None,
    ) -> Iterator[list[tuple[int, Sampled]]]:
        """One response for each row, with the row's index: a list of them as soon as they are there, in any order.

        It ends at `stop`; None: at the policy's own stop tokens.

        `prompts` holds token ids, a prompt once for each of its samples; `seeds` holds each sample's own seed, which
        with the prompt and the settings alone decides its tokens: not the batch size, the order or a restart.
        """
        ...
