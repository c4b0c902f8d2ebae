"""The head-to-head benchmark: how often the oracle prefers a policy's responses to the reference's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...oracles.base import Oracle, Query

_Z = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson_interval(mean: float, count: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a mean of `count` independent values in [0, 1] (exact variance: conservative).

    A mean of probabilities varies less than one of coin tosses, so the interval covers at least as often.
    """
    centre = (mean + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(mean * (1 - mean) / count + _Z**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def compare(
    oracle: Oracle, prompts: Mapping[int, Any], ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Win rate of `ours` over `theirs`, rollouts with equal rows and samples; the figures and every comparison.

    Prompts are the independent units: the responses to one prompt count as one value, their mean.
    """
    queries = [
        Query(prompts[our["row_id"]], our["text"], their["text"]) for our, their in zip(ours, theirs, strict=True)
    ]
    verdicts = oracle.compare(queries)
    rows = [
        {
            "row_id": our["row_id"],
            "index": index,
            "first": our["sample"],
            "second": their["sample"],
            "forward": verdict.forward,
            "backward": verdict.backward,
            "probability": verdict.probability,
            "abstained": verdict.abstained,
            "repeated": False,
            "winner": int(verdict.probability <= 0.5),
        }
        for index, (our, their, verdict) in enumerate(zip(ours, theirs, verdicts, strict=True))
    ]
    by_prompt: dict[int, list[float]] = {}
    for row in rows:
        by_prompt.setdefault(row["row_id"], []).append(row["probability"])
    win_rate = sum(sum(values) / len(values) for values in by_prompt.values()) / len(by_prompt)
    low, high = wilson_interval(win_rate, len(by_prompt))
    figures = {
        "win_rate": win_rate,
        "win_rate_low": low,
        "win_rate_high": high,
        "evaluated_prompts": len(by_prompt),
        "abstentions": sum(verdict.abstained for verdict in verdicts),
        "truncated": sum(verdict.truncated for verdict in verdicts),
    }
    return figures, rows
