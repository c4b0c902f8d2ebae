"""Layouts without padding: all sequences of a pass in one row of tokens, each a segment of its own."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.errors import UserError
from ..groups import Group
from .attention import START, Segment, by_segments, enable, enabled
from .base import Layout
from .padded import TRIED, Padded, differ

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_KNOWN_LAYERS = {"full_attention", "sliding_attention"}


class Row:
    """Token ids, their positions in their sequences, the segments, and the places whose hidden states are read."""

    def __init__(self) -> None:
        """An empty row."""
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.segments: list[Segment] = []
        self.read: list[int] = []

    def add(self, tokens: Sequence[int], after: Segment = START) -> Segment:
        """Add a segment, which comes after another one in its sequence."""
        start, before = len(self.ids), after.stop - after.start
        segment = Segment(start, start + len(tokens), (after.start, after.stop))
        self.ids.extend(tokens)
        self.positions.extend(range(before, before + len(tokens)))
        if tokens:
            self.segments.append(segment)
        return segment


class RowLayout(Layout):
    """A layout that puts everything into one row."""

    @abstractmethod
    def row(self, groups: Sequence[Group]) -> Row:
        """The row of a pass; it is read response by response."""

    def hidden(self, model: "PreTrainedModel", groups: Sequence[Group]) -> "torch.Tensor":
        """One forward pass over the row.

        Raises:
            UserError: the model has not been checked before, and is refused.
        """
        import torch

        if not enabled(model):
            self.check(model)
        row = self.row(groups)
        ids, positions, read = (torch.tensor(each, device=model.device) for each in (row.ids, row.positions, row.read))
        with by_segments():
            output = model.base_model(
                input_ids=ids[None], position_ids=positions[None], use_cache=False, segments=row.segments
            )
        states: torch.Tensor = output.last_hidden_state[0, read]
        return states

    def check(self, model: "PreTrainedModel") -> None:
        """Refuse what `Padded` does, and a model that computes other values by segments: one whose layers are not all
        causal attention.

        Raises:
            UserError: of the latter it says to set the layout to padded.
        """
        Padded().check(model)
        enable(model)
        if not (enabled(model) and self._agrees(model)):
            raise UserError(
                f"the model in {model.name_or_path} ({model.config.model_type}) would have other log-probabilities in "
                f"the layout {self.kind}, because not all of its layers are causal attention that takes segments: set "
                "training.layout and logprobs.layout to padded"
            )

    def _agrees(self, model: "PreTrainedModel") -> bool:
        """Whether hidden states of a few sequences are those of the padded layout."""
        import torch

        if not _KNOWN_LAYERS.issuperset(getattr(model.config.get_text_config(), "layer_types", None) or ()):
            return False
        with torch.no_grad():
            expected = Padded().hidden(model, TRIED)
            try:
                found = self.hidden(model, TRIED)
            except Exception:  # a model without segments raises what it likes
                return False
        return not differ(found, expected, 3e-2)
