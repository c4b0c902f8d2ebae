"""What a check finds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .case import Case

State = Literal["ok", "failed", "not needed", "not tried", "not known"]
"""not tried: what it takes is missing here; not known: nobody can tell from here, whatever there is."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was tried, how it went, what was found, and what to do about it."""

    check: str
    state: State
    tried: str
    found: str = ""
    advice: str = ""


Check = Callable[["Case"], Iterator[Finding]]
"""Raises NotTried where it lacks what it needs. Whatever else it raises is a failure of what it looks at."""
