"""How good a judge is: how often it agrees with labels that it was not trained on, and what mere length does."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..oracles.base import Oracle, Query
from ..oracles.fitted.fitting import Pair
from ..oracles.fitted.labelled import Labelled, opening
from ..quality.agreement import Share, difference, share
from ..quality.pairs import Array, ahead

CHANCE = 0.5


def measured(oracle: Oracle, labelled: Labelled) -> dict[str, Any]:
    """The figures of an oracle on the held-out pairs, in the mean over dialogues, with 95 % intervals.

    `accuracy`: agreement with the labels; a tie and an abstention count half. `length_only`: that of a judge which
    prefers the longer answer, or the shorter one, whichever was chosen more often in training. `over_length`: the first
    minus the second.
    """
    pairs = labelled.held_out
    verdicts = oracle.compare([Query(pair.messages, pair.chosen, pair.rejected) for pair in pairs])
    prefers = "longer" if np.sign(_longer(labelled.training)).sum() >= 0 else "shorter"
    right = ahead(np.array([verdict.probability - CHANCE for verdict in verdicts]))
    length = ahead(_longer(pairs) if prefers == "longer" else -_longer(pairs))
    _, dialogue = np.unique([opening(pair) for pair in pairs], return_inverse=True)
    return {
        "accuracy": _share(share(right, dialogue)),
        "length_only": {"prefers": prefers, **_share(share(length, dialogue))},
        "over_length": _share(difference(right, length, dialogue)),
        "pairs": len(pairs),
        "dialogues": int(dialogue.max()) + 1,
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


def _longer(pairs: Sequence[Pair]) -> Array:
    """How many characters the chosen answers have more, (pairs,)."""
    return np.array([float(len(pair.chosen) - len(pair.rejected)) for pair in pairs])


def _share(found: Share | None) -> dict[str, float]:
    assert found, "a part without pairs is refused"
    return found._asdict()
