"""Seeds of brackets: the samples of a prompt as a cheap oracle ranks them."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from .base import Oracle, Query

if TYPE_CHECKING:
    from .referee import PromptSamples


def seeds_of(prompts: Sequence["PromptSamples"], oracle: Oracle) -> list[list[int]]:
    """The samples of each prompt, the best first: by the mean probability of winning against the prompt's others.

    An abstention counts as 1/2; of equals the earlier sample is first.
    """
    matches = [(game, *match) for game, prompt in enumerate(prompts) for match in _matches(prompt)]
    texts = [[sample.text for sample in prompt.samples] for prompt in prompts]
    queries = [
        Query(prompts[game].messages, texts[game][first], texts[game][second]) for game, first, second in matches
    ]
    scores = [[0.0] * len(prompt.samples) for prompt in prompts]
    for (game, first, second), verdict in zip(matches, oracle.compare(queries), strict=True):
        scores[game][first] += verdict.probability
        scores[game][second] += 1 - verdict.probability
    return [sorted(range(len(score)), key=lambda sample: -score[sample]) for score in scores]


def _matches(prompt: "PromptSamples") -> list[tuple[int, int]]:
    return list(combinations(range(len(prompt.samples)), 2))
