"""Verdict files: JSON lines, each one annotator's verdict on one comparison."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from ...core.errors import UserError
from ...core.settings import Part
from ...storage.store import Store

Word = Literal["a", "b", "tie", "skip"]
"""skip: the annotator cannot tell, which is no vote."""


class _Line(Part):
    """A line of a verdict file; it may say more."""

    comparison: str = Field(min_length=1)
    annotator: str = Field(min_length=1)
    verdict: Word


@dataclass(frozen=True)
class Given:
    """One verdict, and where it stands."""

    comparison: str
    """The comparison's id."""
    annotator: str
    verdict: Word
    where: str
    """File and line."""

    def contradicts(self, other: "Given") -> bool:
        """Whether one annotator says two things of one comparison."""
        same = (self.comparison, self.annotator) == (other.comparison, other.annotator)
        return same and self.verdict != other.verdict


def read_line(text: str, where: str) -> Given:
    """The verdict in one line.

    Raises:
        UserError: it is none: names `where` and the reason.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where}: not JSON: {error}") from None
    line = _Line.parse(data, where)
    return Given(line.comparison, line.annotator, line.verdict, where)


def lines_of(data: bytes, name: str) -> Iterator[tuple[str, str]]:
    """The lines of a file that are not blank, each with its place.

    Raises:
        UserError: the file is no text.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not UTF-8: {error}") from None
    # Not splitlines: texts may hold other separators.
    numbered = enumerate(text.split("\n"), 1)
    yield from ((line, f"{name}:{number}") for number, line in numbered if line.strip())


def given_in(folder: Store) -> list[Given]:
    """All verdicts of a folder.

    Raises:
        UserError: a line is no verdict: names file, line and reason.
    """
    files = [key for key in folder.list() if key.endswith(".jsonl")]
    lines = [each for key in files for each in lines_of(folder.read(key), folder.location(key))]
    return [read_line(*each) for each in lines]


def votes_of(verdicts: Iterable[Given]) -> dict[str, dict[str, str]]:
    """Verdicts by comparison and annotator; one that stands twice counts once.

    Raises:
        UserError: an annotator contradicts himself: names both lines.
    """
    first: dict[tuple[str, str], Given] = {}
    for given in verdicts:
        known = first.setdefault((given.comparison, given.annotator), given)
        if given.contradicts(known):
            raise UserError(
                f"{given.where}: {given.annotator} says {given.verdict} of comparison {given.comparison}, and "
                f"{known.verdict} in {known.where}: delete one of the two lines"
            )
    votes: dict[str, dict[str, str]] = {}
    for (comparison, annotator), given in first.items():
        votes.setdefault(comparison, {})[annotator] = given.verdict
    return votes
