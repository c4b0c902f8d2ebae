"""Floating-point operations of training a language model: the least with which its exact gradients can be computed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .size import has_experts

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Flops:
    """What a model's operations are counted from.

    A multiplication with its addition counts 2. Left out is what is small beside matrices: embeddings, norms,
    activations, the softmax, the optimiser. A sliding window is counted as if every layer saw all that came before.
    """

    layers: int
    """Numbers in the matrices that every token goes through."""
    trained: int
    """Those of them that get gradients: all of them without an adapter."""
    head: int
    """Numbers in the matrix of the language-model head."""
    trains_head: bool
    attention: int
    """Products of numbers for a query and a key that it sees, in all layers: 2 × layers × heads × width of a head."""

    def of(self, prompt: int, responses: Sequence[int]) -> float:
        """Forward and backward pass over a prompt of so many tokens, read once, and responses of so many.

        6 for each number of the layers and token (2 forward, 2 for the gradients of activations, 2 for those of
        weights, which frozen ones do not have), the same for the head and each token of a response, and 6 for each
        product of attention: a token sees its prompt, and its response up to itself. What is computed again in the
        backward pass to save memory is not counted.
        """
        tokens, answered = prompt + sum(responses), sum(responses)
        seen = prompt * (prompt + 1) // 2 + sum(length * prompt + length * (length + 1) // 2 for length in responses)
        return (
            (4 * self.layers + 2 * self.trained) * tokens
            + (4 + 2 * self.trains_head) * self.head * answered
            + 6 * self.attention * seen
        )


def flops_of(model: "PreTrainedModel") -> Flops | None:
    """Those of a model as it is trained.

    None where a token does not go through every matrix, as in a mixture of experts or beside a vision tower, and for a
    model that has no attention.
    """
    config = model.config.get_text_config()
    attends = getattr(config, "num_attention_heads", None)
    if has_experts(config.to_dict()) or config is not model.config or not attends:
        return None
    embeddings = {id(part.weight) for part in (model.get_input_embeddings(), model.get_output_embeddings())}
    matrices = [each for each in model.parameters() if len(_shape(each)) > 1 and id(each) not in embeddings]
    head = model.get_output_embeddings().weight
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Flops(
        layers=sum(math.prod(_shape(each)) for each in matrices),
        trained=sum(math.prod(_shape(each)) for each in matrices if each.requires_grad),
        head=math.prod(_shape(head)),
        trains_head=head.requires_grad,
        attention=2 * config.num_hidden_layers * config.num_attention_heads * width,
    )


def _shape(parameter: "torch.nn.Parameter") -> Sequence[int]:
    """A parameter's own shape, also where DeepSpeed keeps a part of it here or bitsandbytes has packed it."""
    packed = getattr(parameter, "quant_state", None)
    shape: Sequence[int] = packed.shape if packed else getattr(parameter, "ds_shape", parameter.shape)
    return shape
