"""Creating something on the server once: a creation is never repeated blindly."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from .connection import Connection
from .failures import FAILURES, status, timed_out, transient, unsent

_ATTEMPTS = 4
_SETTLE_SECONDS = 15.0
_LOOK_SECONDS = 1.5

T = TypeVar("T")


def create_once(
    connection: Connection,
    what: str,
    find: Callable[[], T | None],
    method: Callable[..., T],
    *arguments: Any,
    attempts: int = _ATTEMPTS,
    **options: Any,
) -> T:
    """Call the API's `method`, which creates `what`, or take what an earlier attempt or somebody else has made.

    After a request that broke, nobody knows whether it had its effect: then `find` looks for the thing by its name, for
    as long as a request that is still under way may need, before it is tried again. A request that the server may still
    be at work on is not tried again at all. `attempts` is 1 where the server would make two things of one name.

    Raises:
        UserError: the server refuses it. ConnectionError: it stays away, or it is not known what became of the request.
    """
    for _ in range(attempts):
        try:
            created: T = connection.send(method, *arguments, **options)
            return created
        except FAILURES as error:
            failure: Exception = error
        if unsent(failure) or (status(failure) != 409 and not transient(failure)):
            raise connection.translated(failure)
        try:
            found = find() if status(failure) == 409 else _appearing(find)
        except ConnectionError as away:
            raise ConnectionError(f"{away}; {_doubt(connection, what)}") from None
        if found is not None:
            return found
        if status(failure) in (409, 500):
            raise connection.translated(failure)
        if timed_out(failure):
            break
    raise ConnectionError(f"{connection.access}: does not list it; {_doubt(connection, what)}")


def _doubt(connection: Connection, what: str) -> str:
    return (
        f"no answer to the request for {what}, so before you try again, see that it has not appeared since: "
        f"`nashflow runs {connection.access.flags}`"
    )


def _appearing(find: Callable[[], T | None]) -> T | None:
    """What `find` finds while a broken request may still have its effect; None if there is nothing by then."""
    end = None
    while True:
        found = find()
        # The time counts from when the server answers again.
        end = end or time.monotonic() + _SETTLE_SECONDS
        if found is not None or time.monotonic() >= end:
            return found
        time.sleep(_LOOK_SECONDS)
