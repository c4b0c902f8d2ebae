"""The plain layout: a row for each response, padded to the longest."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from ...core.errors import UserError
from ...models import padding
from ..groups import Group
from .base import Layout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TRIED = [Group([1, 2, 3, 0, 2], [[3, 1, 2], [1], [2, 0, 3, 3]]), Group([3, 0, 1], [[0, 2, 1, 1, 3, 2, 2], [2, 1]])]
"""A few sequences, of tokens that every vocabulary has, on which models are tried."""


class Padded(Layout):
    """Each response in a row of its own, after its prompt, padded on the left."""

    kind: Literal["padded"] = "padded"
    padded: ClassVar[bool] = True

    def tokens(self, group: Group) -> int:
        """As many rows as responses, as long as the longest."""
        return len(group.responses) * max(len(prompt) + len(response) for prompt, response in group.pairs)

    def check(self, model: "PreTrainedModel") -> None:
        """Refuse, too, a model whose values depend on padding, as where positions are counted from a row's start, or on
        tokens to come.

        Raises:
            UserError: says to take another model.
        """
        import torch

        super().check(model)
        with torch.no_grad():
            whole = [
                model.base_model(
                    input_ids=torch.tensor([[*prompt, *response]], device=model.device), use_cache=False
                ).last_hidden_state[0, -len(response) - 1 : -1]
                for group in TRIED
                for prompt, response in group.pairs
            ]
            expected, found = torch.cat(whole), self.hidden(model, TRIED)
        if differ(found, expected, 0.2):
            raise UserError(
                f"the model in {model.name_or_path} ({model.config.model_type}) has other log-probabilities where a "
                "sequence is padded or goes on: set policy.model to a causal language model of another family"
            )

    def hidden(self, model: "PreTrainedModel", groups: Sequence[Group]) -> "torch.Tensor":
        """One forward pass over all rows; all responses end together. Their last tokens are predicted, and not read."""
        import torch

        pairs = [pair for group in groups for pair in group.pairs]
        ids, mask = padding.padded([[*prompt, *response[:-1]] for prompt, response in pairs], "left", model.device)
        states = model.base_model(
            input_ids=ids, attention_mask=mask, position_ids=padding.positions_of(mask), use_cache=False
        ).last_hidden_state
        return torch.cat([row[-len(response) :] for row, (_, response) in zip(states, pairs, strict=True)])


def differ(found: "torch.Tensor", expected: "torch.Tensor", in_bfloat16: float) -> bool:
    """Whether hidden states differ by more than rounding, as a part of their norm; not where they are NaN, which is
    refused elsewhere."""
    import torch

    tolerance = in_bfloat16 if found.dtype == torch.bfloat16 else 1e-4
    found, expected = found.double(), expected.double()
    return bool(torch.linalg.norm(found - expected) > tolerance * torch.linalg.norm(expected))
