"""The interface of layouts: how prompts and responses lie in the tensors of one forward pass."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ...core.settings import Variant
from ..groups import Group, require_tokens
from ..head import check_head, token_logprobs

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Layout(Variant, ABC):
    """Interface of all layouts; group of entry points: `nashflow.layouts`.

    All of them give the same values and gradients, but for rounding.
    """

    padded: ClassVar[bool] = False
    """Whether the groups of a pass are padded to the longest."""
    shares: ClassVar[bool] = False
    """Whether a group's responses share the computation of their prompt."""

    @abstractmethod
    def tokens(self, group: Group) -> int:
        """Positions that the model computes for a group alone, padding included."""

    @abstractmethod
    def hidden(self, model: "PreTrainedModel", groups: Sequence[Group]) -> "torch.Tensor":
        """The last hidden states that predict the responses' tokens, (tokens, width), response by response."""

    def check(self, model: "PreTrainedModel") -> None:
        """Refuse a model, once it is open, whose log-probabilities would be wrong.

        Raises:
            UserError: names its folder, and what to set instead.
        """
        check_head(model)

    def logprobs(self, model: "PreTrainedModel", groups: Sequence[Group]) -> "torch.Tensor":
        """log π(response | prompt) in nats, summed over tokens, (responses,): group by group, in their order.

        Differentiable. Reduced in float32, or in float64 for a float64 model.

        Raises:
            ValueError: a prompt or a response without tokens.
        """
        import torch

        require_tokens(groups)
        responses = [response for group in groups for response in group.responses]
        targets = torch.tensor([token for response in responses for token in response], device=model.device)
        values = token_logprobs(model, self.hidden(model, groups), targets)
        return torch.stack([part.sum() for part in values.split([len(response) for response in responses])])
