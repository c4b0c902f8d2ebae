"""Who computes log-probabilities for the cache: our scorer, and a softmax over all logits."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nashflow.components.models.folders import load_causal_lm
from nashflow.components.scoring.settings import ScoringSettings

from . import preferences
from .training import pairs_in

TOGETHER = 16
"""Sequences in a batch of the softmax over all logits."""
BATCH_TOKENS = 2048
"""Tokens in a batch of ours: as many as sixteen of the equal sequences have."""


def equal(folder: Path) -> None:
    """Sequences that are all as long."""
    preferences.random_llama(folder, prompt=(64, 64), response=(64, 64), pairs=64)


def varied(folder: Path) -> None:
    """Prompts that are, and responses of 16 to 512 tokens."""
    preferences.random_llama(folder, prompt=(64, 64), response=(16, 512), pairs=32)


def sequences(folder: Path) -> list[tuple[list[int], list[int]]]:
    """The prompt with each response of a pair."""
    return [(each["prompt_ids"], each[f"{side}_ids"]) for each in pairs_in(folder) for side in ("chosen", "rejected")]


class Ours:
    """The log-probability step's scorer in float32, each prompt computed once."""

    def __init__(self, folder: Path) -> None:
        settings = ScoringSettings.parse({"layout": "shared_prefix", "batch_tokens": BATCH_TOKENS}, "")
        self._scorer = settings.engine.open(folder / "model", settings.dtype, load_causal_lm, settings.layout)
        self._sequences, self._tokens = sequences(folder), settings.batch_tokens

    def __call__(self) -> int:
        self._scorer.score(self._sequences, self._tokens)
        return sum(len(prompt) + len(response) for prompt, response in self._sequences)


class AllLogits:
    """Batches in the order of the file, padded on the right, and a softmax over the logits of every position."""

    def __init__(self, folder: Path) -> None:
        self._model, self._sequences = load_causal_lm(folder / "model"), sequences(folder)

    def __call__(self) -> int:
        import torch

        rest: Iterator[tuple[list[int], list[int]]] = iter(self._sequences)
        while batch := list(islice(rest, TOGETHER)):
            width = max(len(prompt) + len(response) for prompt, response in batch)
            ids = torch.tensor(
                [[*p, *r, *[0] * (width - len(p) - len(r))] for p, r in batch], device=self._model.device
            )
            mask = torch.tensor([[1] * (len(p) + len(r)) + [0] * (width - len(p) - len(r)) for p, r in batch])
            answered = mask.clone()
            for row, (prompt, _) in zip(answered, batch, strict=True):
                row[: len(prompt)] = 0
            with torch.inference_mode():
                logits = self._model(input_ids=ids, attention_mask=mask.to(ids.device), use_cache=False).logits
                tokens = logits[:, :-1].float().log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
                (tokens.cpu() * answered[:, 1:]).sum(-1).tolist()
        return sum(len(prompt) + len(response) for prompt, response in self._sequences)
