"""The Bradley-Terry oracle: a reward model scores each response by itself.

P(y ≻ y' | x) = σ(r(x, y) − r(x, y')), with r the raw logit of a sequence classifier with one output. As published code
does (RLHF Workflow, arXiv 2405.07863, FsfairX-LLaMA3-RM): dialogue and answer go through the model's chat template, a
BOS stands at their beginning once at most, and they are cut at the tokenizer's truncation side where they are longer
than the model's context. The oracle abstains where the two answers are one after that.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from ...core.digests import canonical_json
from ...models.dialogues import Dialogues
from ...models.finite import require_finite
from ...models.folders import Dtype, load_classifier, load_tokenizer
from ...models.padding import padded
from ...storage.records import Message
from ..base import ABSTENTION, Oracle, Query, Verdict
from ..inference import REMEDY, batches, context_length


class RewardModelOracle(Oracle):
    """Preferences from the rewards of the model in `folder`, which reads dialogues as `dialogues` renders them."""

    def __init__(self, folder: Path, dtype: Dtype, batch_size: int, dialogues: Dialogues | None = None) -> None:
        self._dialogues = dialogues or Dialogues(load_tokenizer(folder))
        self._tokenizer = self._dialogues.tokenizer
        self._model = load_classifier(folder, dtype)
        self._longest = context_length(self._model.config, self._tokenizer)
        self._pad = self._model.config.get_text_config().pad_token_id
        # Without a padding token, transformers knows where a sequence ends only if it is alone.
        self._batch_size = 1 if self._pad is None else batch_size

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """σ of the difference of two rewards; each answer to a prompt is scored once.

        Raises:
            UserError: a reward is not finite, or the chat template refuses a dialogue.
        """
        keys = [canonical_json(list(query.messages)) for query in queries]
        pairs = [((key, query.first), (key, query.second)) for key, query in zip(keys, queries, strict=True)]
        read = {
            (key, text): self._encode([*query.messages, Message(role="assistant", content=text)])
            for key, query in zip(keys, queries, strict=True)
            for text in (query.first, query.second)
        }
        # Where the context ends before two answers differ, their rewards are one and say nothing.
        apart = [pair for pair in pairs if read[pair[0]][0] != read[pair[1]][0]]
        scored = list(dict.fromkeys(answer for pair in apart for answer in pair))
        rewards = dict(zip(scored, self._rewards([read[answer][0] for answer in scored]), strict=True))
        return [
            _bradley_terry(rewards[first], rewards[second], read[first][1] or read[second][1])
            if read[first][0] != read[second][0]
            else ABSTENTION
            for first, second in pairs
        ]

    def _rewards(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        """Reward of the answer that each dialogue ends with, given as token ids."""
        import torch

        rewards = [0.0] * len(sequences)
        for batch in batches(sequences, self._batch_size):
            rows = [sequences[index] for index in batch]
            ids, mask = padded(rows, "right", self._model.device, self._pad or 0)
            with torch.inference_mode():
                logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            require_finite(logits, self._model, rows, REMEDY, "oracle")
            for index, reward in zip(batch, logits.squeeze(-1).tolist(), strict=True):
                rewards[index] = reward
        return rewards

    def _encode(self, dialogue: Sequence[Message]) -> tuple[list[int], bool]:
        """Token ids, at most as long as the model's context, and whether some were cut; a BOS at the start stays."""
        ids = self._dialogues.whole(dialogue)
        surplus = len(ids) - self._longest
        if surplus <= 0:
            return ids, False
        if self._tokenizer.truncation_side == "right":
            return ids[:-surplus], True
        start = ids[:1] if ids[0] == self._tokenizer.bos_token_id else []
        return start + ids[surplus + len(start) :], True


def _bradley_terry(first: float, second: float, truncated: bool) -> Verdict:
    # σ(d) by tanh: nothing overflows, and σ(d) + σ(-d) is 1.
    probability = 0.5 + 0.5 * math.tanh((first - second) / 2)
    return Verdict.of(probability, probability, truncated=truncated)
