"""The layout that computes a prompt once for all of its responses, without padding."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from ..groups import Group
from .attention import Segment
from .rows import Row, RowLayout


class SharedPrefix(RowLayout):
    """Each prompt once in a pass, and its responses, which attend to it; for models of causal attention alone."""

    kind: Literal["shared_prefix"] = "shared_prefix"
    shares: ClassVar[bool] = True

    def tokens(self, group: Group) -> int:
        """Those of the prompt, and those of the responses."""
        return len(group.prompt) + sum(map(len, group.responses))

    def row(self, groups: Sequence[Group]) -> Row:
        """Prompts and responses are segments; groups of one prompt share it. A prompt's last state predicts the first
        token of every response."""
        row, prefixes = Row(), dict[tuple[int, ...], Segment]()
        for prompt, responses in groups:
            if (prefix := prefixes.get(tuple(prompt))) is None:
                prefix = prefixes[tuple(prompt)] = row.add(prompt)
            for response in responses:
                segment = row.add(response[:-1], after=prefix)
                row.read.extend((prefix.stop - 1, *range(segment.start, segment.stop)))
        return row
