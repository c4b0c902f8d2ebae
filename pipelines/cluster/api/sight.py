"""Data about a run from sources other than KFP, which may be unreachable or forbidden to the client."""

import math
import time
from collections.abc import Callable
from typing import TypeVar

from nashflow.components.core.errors import UserError

from .failures import ANSWERS, FAILURES, explain, status

T = TypeVar("T")

_AGAIN_SECONDS = 60.0


class Sight:
    """Reads one source, and reports once if it cannot be read, and what is missing as a result."""

    def __init__(self, what: str, missed: str, say: Callable[[str], None]) -> None:
        self._what, self._missed, self._say = what, missed, say
        self._said = False
        self._again = -math.inf

    def of(self, look: Callable[[], T], blind: T) -> T:
        """What `look` returns; `blind` where it raises, and for a while after it."""
        if time.monotonic() < self._again:
            return blind
        try:
            return look()
        except (UserError, OSError, *ANSWERS, *FAILURES) as error:
            refused = isinstance(error, UserError) or (isinstance(error, ANSWERS) and status(error) in (401, 403))
            self._again = math.inf if refused else time.monotonic() + _AGAIN_SECONDS
            if not self._said:
                self._said = True
                self._say(f"{self._what} cannot be seen from here, so {self._missed}: {explain(error)}")
            return blind
