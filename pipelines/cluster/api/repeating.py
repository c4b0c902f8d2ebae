"""Calls that are made again while a server is away."""

from collections.abc import Callable

import tenacity

WAIT = tenacity.wait_exponential_jitter(initial=0.5, max=10.0, jitter=0.5)


def repeating(
    patience: float, worth_it: Callable[[BaseException], bool], *ends: tenacity.stop.stop_base
) -> tenacity.Retrying:
    """Calls what it is given until there is an answer, or an error that is not `worth_it`, which is raised.

    `patience`: for so many seconds, unless one of the `ends` comes before.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(worth_it),
        wait=WAIT,
        stop=tenacity.stop_any(tenacity.stop_after_delay(patience), *ends),
        reraise=True,
    )
