"""The results of checks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .case import Case

State = Literal["ok", "failed", "not needed", "not tried", "not known"]
"""not tried: a prerequisite is missing; not known: it cannot be determined from here."""


@dataclass(frozen=True)
class Finding:
    """The result of one check: its name, status, finding and remedy."""

    check: str
    state: State
    tried: str
    found: str = ""
    advice: str = ""


Check = Callable[["Case"], Iterator[Finding]]
"""Raises NotTried where it lacks what it needs. Whatever else it raises is a failure of what it looks at."""
