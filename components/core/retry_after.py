"""How long to wait before a server is asked again: what it asks for, or else ever longer."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tenacity


def as_asked(most: float) -> Callable[["tenacity.RetryCallState"], float]:
    """For tenacity: the seconds that the server asks for, which the failure has as `wait`; where that is None,
    exponentially longer ones, with jitter, `most` at most."""
    import tenacity

    longer = tenacity.wait_exponential_jitter(initial=1.0, max=most)

    def wait(state: "tenacity.RetryCallState") -> float:
        error = state.outcome.exception() if state.outcome else None
        asked: float | None = getattr(error, "wait", None)
        return float(longer(state)) if asked is None else asked

    return wait


def seconds_asked(header: str, most: float) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date, `most` at most; None if it asks for
    nothing."""
    try:
        seconds = float(header) if header.replace(".", "", 1).isdigit() else _seconds_until(header)
    except ValueError:
        return None
    return min(max(seconds, 0.0), most)


def _seconds_until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()
