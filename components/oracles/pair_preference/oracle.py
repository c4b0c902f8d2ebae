"""The pair preference oracle: a language model reads both responses and names the better one.

The model of RLHF Workflow (arXiv 2405.07863, pair-preference-model-LLaMA3-8B), which INPO's experiments use (arXiv
2407.00617, section 5): p_A is the softmax over the logits of the tokens "A" and "B" after the message below. Position
bias is averaged out: P(y ≻ y') = (p_A(y, y') + 1 − p_A(y', y)) / 2.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.digests import canonical_json
from ...core.errors import UserError
from ...models.dialogues import Dialogues
from ...storage.records import Message
from ..base import ABSTENTION, Oracle, Query, Verdict, sigmoid
from ..engines.base import OracleModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def context_text(messages: Sequence[Message]) -> str:
    """The dialogue in the plain form that the model was trained on.

    Of users' and assistants' turns in alternation it is what transformers makes of the published template, where
    rendering swallows the newlines that follow a block, and one at the end. That template calls turns user and
    assistant by their position; here each has the name of its role, a system message among them.
    """
    return "\n" + "".join(f"\n<turn> {message['role']}\n {message['content']}" for message in messages) + "\n"


def render(messages: Sequence[Message], first: str, second: str) -> str:
    """The user message that shows the model a dialogue and two answers to it."""
    return f"[CONTEXT] {context_text(messages)} [RESPONSE A] {first} [RESPONSE B] {second} \n"


def shown(messages: Sequence[Message], first: str, second: str) -> Message:
    """The message of `render`."""
    return Message(role="user", content=render(messages, first, second))


def encode(dialogues: Dialogues, messages: Sequence[Message], first: str, second: str) -> list[int]:
    """Token ids after which the model answers "A" (first) or "B" (second).

    The message through the model's own chat template, without generation prompt. As published, without the BOS that
    opens a dialogue; where a BOS opens every turn, as SmolLM's does, it is part of the turn and stays.
    """
    ids = dialogues.whole([shown(messages, first, second)])
    opened = ids[:1] == [dialogues.tokenizer.bos_token_id] and not dialogues.opens_turns
    return ids[1:] if opened else ids


def answer_tokens(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, int]:
    """The tokens "A" and "B".

    Raises:
        UserError: one of them is not a single token of its own.
    """
    encoded = {letter: tokenizer.encode(letter, add_special_tokens=False) for letter in "AB"}
    for letter, ids in encoded.items():
        # Read back, because a tokenizer may have one token for all that it does not know.
        if len(ids) != 1 or str(tokenizer.decode(ids)).strip() != letter:
            raise UserError(
                f'"{letter}" is not a single token of the tokenizer in {tokenizer.name_or_path}: a pair preference '
                "model answers with the token A or B; set oracle.model to another folder"
            )
    return encoded["A"][0], encoded["B"][0]


class PairPreferenceOracle(Oracle):
    """Preferences of a model that answers with the log-probabilities of `answer_tokens`, and reads what `dialogues`
    renders. It abstains from pairs that are longer than its context, and from those whose two answers its chat template
    makes one."""

    def __init__(self, model: OracleModel, dialogues: Dialogues) -> None:
        self._model, self._dialogues = model, dialogues

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """Read every pair in both orders.

        Raises:
            UserError: a log-probability is not finite, or the chat template refuses the message.
        """
        orders = [
            [encode(self._dialogues, asked.messages, asked.first, asked.second) for asked in (query, query.swapped())]
            for query in queries
        ]
        fitting = [
            index
            for index, (forward, swapped) in enumerate(orders)
            if max(len(forward), len(swapped)) <= self._model.longest and forward != swapped
        ]
        firsts = self._first_preferred(
            [sequence for index in fitting for sequence in orders[index]],
            [canonical_json(list(queries[index].messages)) for index in fitting for _ in orders[index]],
        )
        verdicts = [ABSTENTION] * len(queries)
        for index, forward, swapped in zip(fitting, firsts[::2], firsts[1::2], strict=True):
            verdicts[index] = Verdict.of(forward, 1 - swapped)
        return verdicts

    def _first_preferred(self, sequences: Sequence[Sequence[int]], prompts: Sequence[str]) -> list[float]:
        """p_A after each sequence."""
        if not sequences:
            return []
        first, second = self._model.read(sequences, prompts).T
        return [sigmoid(difference) for difference in (first - second).tolist()]
