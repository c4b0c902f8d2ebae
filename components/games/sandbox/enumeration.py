"""The exact distribution of a policy over all responses of the sandbox world."""

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from ...models.dialogues import Dialogues
from ...models.finite import TRAINED, require_finite
from ..preference import Array, log_normalise
from .texts import prompt_messages, response_text
from .world import CONTEXTS, RESPONSES, SYMBOLS_PER_RESPONSE

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

RESPONSE_TOKENS = SYMBOLS_PER_RESPONSE + 1  # and EOS
ACCURACY = 1e-6
"""Of log-probabilities, and of the mass outside: transformers computes normalisation and rotary angles in float32
always."""


@dataclass(frozen=True, eq=False)
class Enumeration:
    """A policy on the sandbox: `log_policy` (8, 25), normalised over the responses, and the mass (8,) outside them."""

    log_policy: Array
    mass_outside: Array


def enumerate_policy(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> Enumeration:
    """Score every response in every context, final EOS included, with a float64 copy of the model.

    Log-probabilities are good to about 1e-6: transformers computes normalisation and rotary angles in float32 always.

    Raises:
        UserError: one of them is no finite number.
    """
    import torch

    exact, sequences = deepcopy(model).double().eval(), all_sequences(tokenizer).to(model.device)
    with torch.no_grad():
        scores = response_log_probs(next_token_log_probs(exact, sequences), sequences)
    prompts = sequences[:, :-RESPONSE_TOKENS].tolist()
    require_finite(scores, model, prompts, TRAINED)
    by_context = scores.reshape(CONTEXTS, len(RESPONSES)).cpu().numpy()
    return Enumeration(log_normalise(by_context), 1 - np.exp(by_context).sum(axis=-1))


def all_sequences(tokenizer: "PreTrainedTokenizerBase") -> "Tensor":
    """Token ids of every prompt with every response and its EOS, (200, length), context by context."""
    import torch

    dialogues, prompts = Dialogues(tokenizer), [prompt_messages(context) for context in range(CONTEXTS)]
    texts = [response_text(index) for index in range(len(RESPONSES))]
    return torch.tensor([dialogues.prompt(each) + dialogues.answer(each, text) for each in prompts for text in texts])


def next_token_log_probs(model: "PreTrainedModel", sequences: "Tensor") -> "Tensor":
    """Log-probabilities (200, 3, vocabulary) of every token at each response position, EOS's included."""
    logits = model(sequences[:, :-1], logits_to_keep=RESPONSE_TOKENS, use_cache=False).logits
    return cast("Tensor", logits.log_softmax(dim=-1))


def response_log_probs(log_probs: "Tensor", sequences: "Tensor") -> "Tensor":
    """Log-probability (200,) of each sequence's response given its prompt, from `next_token_log_probs`."""
    return log_probs.gather(-1, sequences[:, -RESPONSE_TOKENS:, None]).squeeze(-1).sum(dim=-1)
