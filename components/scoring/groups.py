"""What is scored, as token ids: responses by their prompts."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

Pair = tuple[Sequence[int], Sequence[int]]
"""Token ids of a prompt and of a response, neither empty."""


class Group(NamedTuple):
    """A prompt with its responses, none of them empty."""

    prompt: Sequence[int]
    responses: Sequence[Sequence[int]]

    @property
    def pairs(self) -> list[Pair]:
        """The prompt with each response."""
        return [(self.prompt, response) for response in self.responses]


def grouped(pairs: Sequence[Pair]) -> list[Group]:
    """The pairs in their order, neighbours with one prompt as a group."""
    runs = groupby(pairs, key=lambda pair: list(pair[0]))
    return [Group(prompt, [response for _, response in run]) for prompt, run in runs]


def require_tokens(groups: Iterable[Group]) -> None:
    """Raise unless there is a token to predict, and one to predict it from, everywhere.

    Raises:
        ValueError: a prompt or a response has no tokens.
    """
    if not all(prompt and responses and all(responses) for prompt, responses in groups):
        raise ValueError("every prompt and every response needs at least one token")


def tokens_of(pairs: Iterable[Pair]) -> int:
    """How many tokens responses have with their prompts."""
    return sum(len(prompt) + len(response) for prompt, response in pairs)


def by_prompt(groups: Iterable[Group]) -> list[Group]:
    """The groups, those of one prompt as one."""
    found: dict[tuple[int, ...], list[Sequence[int]]] = {}
    for prompt, responses in groups:
        found.setdefault(tuple(prompt), []).extend(responses)
    return [Group(prompt, responses) for prompt, responses in found.items()]
