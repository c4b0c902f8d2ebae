"""Which of a mixture's oracles a complaint is about."""

import contextlib
from collections.abc import Iterator

from ...core.errors import TryAgain, UserError
from ..unanswered import Unanswered


@contextlib.contextmanager
def member(number: int, kind: str) -> Iterator[None]:
    """Within this block complaints name the oracle: its place in the recipe, from 0, and its kind."""
    try:
        yield
    except Unanswered:  # no complaint: somebody has to answer
        raise
    except (UserError, TryAgain) as error:
        raise type(error)(f"oracle.oracles.{number}, {kind}: {error}") from None
