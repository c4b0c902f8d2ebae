"""The conduct of a judge: whether the place of an answer or its length decides, and how often there is no verdict."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .base import Query, Verdict

CONDUCT = ("position_decides", "of_unequal_length", "longer_preferred")
"""Among the verdicts: those in which the answer that is shown first wins in both orders, or the second one does; those
on texts of different lengths that are no ties; and among these the longer text's wins."""
SHARES = ("position_share", "length_preference", "abstention_share")
"""The figures of `shares`."""

_SIGMAS = 3.0


def conduct_of(verdicts: Iterable[tuple[Query, Verdict]]) -> dict[str, int]:
    """How often each of `CONDUCT` has happened; lengths are those of the texts, in characters."""
    counts = dict.fromkeys(CONDUCT, 0)
    for query, verdict in verdicts:
        towards_longer = (len(query.first) - len(query.second)) * (verdict.probability - 0.5)
        counts["position_decides"] += position_decides(verdict.forward, verdict.backward)
        counts["of_unequal_length"] += towards_longer != 0
        counts["longer_preferred"] += towards_longer > 0
    return counts


def position_decides(forward: Any, backward: Any) -> Any:
    """Whether the place of the answers decides: of P(first ≻ second) in one order and in the other, numbers or arrays,
    one is above 1/2 and one below."""
    return (forward - 0.5) * (backward - 0.5) < 0


def shares(counts: Mapping[str, float]) -> dict[str, float]:
    """The shares that counts of judging say, those that say any.

    `position_share`, of the verdicts; `length_preference`, of those on texts of different lengths that are no ties;
    `abstention_share`, of the calls.
    """
    return {name: part / whole for name, (part, whole) in _ratios(counts).items() if whole}


def surely_above(counts: Mapping[str, float], name: str, limit: float) -> bool:
    """Whether a share is above a limit by more than three standard errors, so that few verdicts do not say so: whether
    the lower end of Wilson's interval is."""
    part, whole = _ratios(counts)[name]
    if not whole:
        return False
    share, squared = part / whole, _SIGMAS**2
    middle = share + squared / (2 * whole)
    spread = _SIGMAS * math.sqrt(share * (1 - share) / whole + squared / (4 * whole**2))
    return (middle - spread) / (1 + squared / whole) > limit


def _ratios(counts: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    calls, abstentions = counts.get("oracle_calls", 0), counts.get("abstentions", 0)
    known = calls - abstentions if "position_decides" in counts else 0  # earlier versions did not count it
    return {
        "position_share": (counts.get("position_decides", 0), known),
        "length_preference": (counts.get("longer_preferred", 0), counts.get("of_unequal_length", 0)),
        "abstention_share": (abstentions, calls),
    }
