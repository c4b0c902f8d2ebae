"""The packed layout: sequence after sequence, without padding."""

from collections.abc import Sequence
from typing import Literal

from ..groups import Group
from .rows import Row, RowLayout


class Packed(RowLayout):
    """Each response after a copy of its prompt, without padding; for models of causal attention alone."""

    kind: Literal["packed"] = "packed"

    def tokens(self, group: Group) -> int:
        """Those of all responses, each with its prompt."""
        return sum(len(prompt) + len(response) for prompt, response in group.pairs)

    def row(self, groups: Sequence[Group]) -> Row:
        """Each response with its prompt is a segment. Its last token is predicted, and not read."""
        row = Row()
        for prompt, response in (pair for group in groups for pair in group.pairs):
            segment = row.add([*prompt, *response[:-1]])
            row.read.extend(range(segment.stop - len(response), segment.stop))
        return row
