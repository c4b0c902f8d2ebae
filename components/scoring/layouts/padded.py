"""The plain layout: a row for each response, padded to the longest."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from ...models import padding
from ..groups import Group
from .base import Layout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Padded(Layout):
    """Each response in a row of its own, after its prompt, padded on the left. Right for every model."""

    kind: Literal["padded"] = "padded"
    padded: ClassVar[bool] = True

    def tokens(self, group: Group) -> int:
        """As many rows as responses, as long as the longest."""
        return len(group.responses) * max(len(prompt) + len(response) for prompt, response in group.pairs)

    def hidden(self, model: "PreTrainedModel", groups: Sequence[Group]) -> "torch.Tensor":
        """One forward pass over all rows; all responses end together. Their last tokens are predicted, and not read."""
        import torch

        pairs = [pair for group in groups for pair in group.pairs]
        ids, mask = padding.padded([[*prompt, *response[:-1]] for prompt, response in pairs], "left", model.device)
        states = model.base_model(
            input_ids=ids, attention_mask=mask, position_ids=padding.positions_of(mask), use_cache=False
        ).last_hidden_state
        return torch.cat([row[-len(response) :] for row, (_, response) in zip(states, pairs, strict=True)])
