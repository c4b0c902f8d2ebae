"""Times as the server gives them, and as people read them."""

from datetime import UTC, datetime

from nashflow.components.core.durations import in_words as in_words

_EARLIEST = 2000


def known(time: datetime | None) -> datetime | None:
    """The time, or None where the server means none: it writes 1970, or the year 1, for what has not happened."""
    return time if time and time.year >= _EARLIEST else None


def seconds_between(start: datetime | None, end: datetime | None) -> float:
    """Seconds from start to end, to now while there is no end, 0 before the start."""
    if not (begun := known(start)):
        return 0.0
    return max(0.0, ((known(end) or datetime.now(UTC)) - begun).total_seconds())
