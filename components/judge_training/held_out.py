"""How good a judge is: how often it agrees with labels that it was not trained on, and what mere length does."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..benchmarks.intervals import mean_interval, means_of
from ..oracles.base import Oracle, Query
from ..oracles.fitted.fitting import Pair
from .data import Labelled, opening

CHANCE = 0.5


def measured(oracle: Oracle, labelled: Labelled) -> dict[str, Any]:
    """The figures of an oracle on the held-out pairs, in the mean over dialogues, with 95 % intervals.

    `accuracy`: agreement with the labels; a tie and an abstention count half. `length_only`: that of a judge which
    prefers the longer answer, or the shorter one, whichever was chosen more often in training. `over_length`: the first
    minus the second.
    """
    pairs = labelled.held_out
    verdicts = oracle.compare([Query(pair.messages, pair.chosen, pair.rejected) for pair in pairs])
    prefers = "longer" if sum(_longer(pair) for pair in labelled.training) >= 0 else "shorter"
    right = [_hit(verdict.probability - CHANCE) for verdict in verdicts]
    length = [_hit(_longer(pair) if prefers == "longer" else -_longer(pair)) for pair in pairs]
    over = _share(pairs, [(one - other + 1) / 2 for one, other in zip(right, length, strict=True)])
    return {
        "accuracy": _share(pairs, right),
        "length_only": {"prefers": prefers, **_share(pairs, length)},
        "over_length": {name: 2 * value - 1 for name, value in over.items()},
        "pairs": len(pairs),
        "dialogues": len({opening(pair) for pair in pairs}),
        "abstentions": sum(verdict.abstained for verdict in verdicts),
    }


def verdict(figures: Mapping[str, Any]) -> str:
    """What the figures say, in a line."""
    accuracy, length = figures["accuracy"], figures["length_only"]
    beats = {
        f"chance ({CHANCE})": accuracy["low"] > CHANCE,
        f"the {length['prefers']} answer ({_interval(length)})": figures["over_length"]["low"] > 0,
    }
    words = [f"{'beats' if better else 'does not clearly beat'} {what}" for what, better in beats.items()]
    return (
        f"held-out accuracy {_interval(accuracy)} on {figures['pairs']:,} pairs of {figures['dialogues']:,} dialogues: "
        + " and ".join(words)
    )


def _interval(share: Mapping[str, Any]) -> str:
    return f"{share['value']:.3f}, 95 % {share['low']:.3f} to {share['high']:.3f}"


def _longer(pair: Pair) -> int:
    """1 where the chosen answer is the longer one, in characters, -1 where it is the shorter one."""
    return int(np.sign(len(pair.chosen) - len(pair.rejected)))


def _hit(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)


def _share(pairs: Sequence[Pair], hits: Sequence[float]) -> dict[str, float]:
    """The mean of the hits over dialogues: those of pairs whose dialogues open alike are one value."""
    values = means_of((opening(pair), hit) for pair, hit in zip(pairs, hits, strict=True))
    low, high = mean_interval(values)
    return {"value": float(np.mean(values)), "low": float(low), "high": float(high)}
