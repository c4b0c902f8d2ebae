"""How a rating is read from a judgment of MT-Bench."""

import re

NO_RATING = -1.0
"""The rating of a judgment that names none; no mean counts it."""
_RATING, _FALLBACK = re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]")


def read_rating(judgment: str) -> float:
    """The first `[[rating]]`, or else the first `[rating]`, or else NO_RATING."""
    found = _RATING.search(judgment) or _FALLBACK.search(judgment)
    return float(found[1]) if found else NO_RATING
