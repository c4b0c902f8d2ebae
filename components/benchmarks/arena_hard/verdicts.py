"""The verdicts of Arena-Hard: how a judgment is read, and what its label means."""

import re
from typing import NamedTuple


class Meaning(NamedTuple):
    """What a verdict says."""

    result: float
    """1: A's answer is better, 0: B's, 1/2: neither."""
    weight: int
    """As how many games it counts: 3 where one is significantly better."""


VERDICTS = {
    "A>>B": Meaning(1.0, 3),
    "A>B": Meaning(1.0, 1),
    "A=B": Meaning(0.5, 1),
    "B>A": Meaning(0.0, 1),
    "B>>A": Meaning(0.0, 3),
}
"""The labels that the judge is told of. Version 0.1 knows no others."""
READ_BACKWARDS = {
    **VERDICTS,
    "B<<A": Meaning(1.0, 3),
    "B<A": Meaning(1.0, 1),
    "B=A": Meaning(0.5, 1),
    "A<B": Meaning(0.0, 1),
    "A<<B": Meaning(0.0, 3),
}
"""Those of version 2, which takes them the other way round, too."""
_DOUBLE, _SINGLE = re.compile(r"\[\[([AB<>=]+)\]\]"), re.compile(r"\[([AB<>=]+)\]")


def labels_in(judgment: str) -> set[str]:
    """The different labels in a judgment. Version 0.1 has a verdict where there is one, and asks once more where there
    is none."""
    return set(_DOUBLE.findall(judgment))


def last_label(judgment: str) -> str | None:
    """The last label in a judgment, in double brackets or else in single ones, which is version 2's verdict."""
    found = _DOUBLE.findall(judgment.upper()) or _SINGLE.findall(judgment.upper())
    return found[-1] if found else None
