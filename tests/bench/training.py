"""Who trains on the same pairs: our step by its layouts, and plain loops that lack one of its ingredients each."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.scoring.groups import Group
from nashflow.components.training.data import PairData
from nashflow.components.training.settings import TrainingSettings

REFERENCE, BETA = "000/main", 0.1


def pairs_in(folder: Path) -> list[dict[str, list[int]]]:
    """The pairs of a bench, beside its model."""
    pairs: list[dict[str, list[int]]] = json.loads((folder / "pairs.json").read_text())
    return pairs


def tokens_of(pairs: list[dict[str, list[int]]]) -> int:
    """Their tokens, prompts counted for both sides."""
    return sum(2 * len(each["prompt_ids"]) + len(each["chosen_ids"]) + len(each["rejected_ids"]) for each in pairs)


class Shared:
    """An update of our step on all pairs, in float32, each prompt computed once."""

    settings: ClassVar[Mapping[str, Any]] = {"layout": "shared_prefix"}

    def __init__(self, folder: Path) -> None:
        pairs = pairs_in(folder)
        settings = TrainingSettings.parse(
            {"batch_size": len(pairs), "micro_batch_tokens": 1 << 14, **self.settings}, ""
        )
        (phase,) = IterativeDPO(beta=BETA, reference="fixed").phases(1)
        groups = [Group(each["prompt_ids"], [each["chosen_ids"], each["rejected_ids"]]) for each in pairs]
        labels = np.array([[1.0, -1.0]] * len(pairs))
        # The anchor's values change no time: those of the first update are its own.
        data = PairData(groups, labels, {REFERENCE: np.zeros((len(pairs), 2))})
        self._trainer = settings.engine.open(folder / "model", phase, data, settings, (0,))
        self._all, self._tokens = list(range(len(pairs))), tokens_of(pairs)
        self._figures: dict[str, float] = {}

    def __call__(self) -> int:
        started = time.perf_counter()
        self._trainer.update(self._all)
        self._figures = self._trainer.speed(self._all, time.perf_counter() - started)
        return self._tokens

    def figures(self) -> dict[str, float]:
        """MFU and padding of the last update."""
        return {name: self._figures[name] for name in ("mfu", "padding")}


class SharedBf16(Shared):
    """In bfloat16 with float32 weights beside it, by DeepSpeed."""

    settings: ClassVar[Mapping[str, Any]] = {"layout": "shared_prefix", "engine": "deepspeed"}


class SharedLora(Shared):
    """The same on an adapter of every linear layer, with gradient checkpointing."""

    settings: ClassVar[Mapping[str, Any]] = {
        "layout": "shared_prefix",
        "engine": {"kind": "deepspeed", "gradient_checkpointing": True},
        "adapter": "lora",
    }


class Packed(Shared):
    """Without padding, but each prompt computed for both sides."""

    settings: ClassVar[Mapping[str, Any]] = {"layout": "packed"}


class Padded(Shared):
    """Rows that are padded to the longest."""

    settings: ClassVar[Mapping[str, Any]] = {"layout": "padded"}


class AllLogits:
    """A plain loop over padded rows, as a first version of any trainer has it: all logits of all positions at once."""

    responses_only = False
    loss: float
    gradient_norm: float

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        pairs = pairs_in(folder)
        rows = [(each["prompt_ids"], each[f"{side}_ids"]) for side in ("chosen", "rejected") for each in pairs]
        width, self._longest = max(len(p) + len(r) for p, r in rows), max(len(r) for _, r in rows)
        filled = [width - len(p) - len(r) for p, r in rows]
        self._ids = torch.tensor([[0] * pad + p + r for pad, (p, r) in zip(filled, rows, strict=True)])
        self._mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in filled])
        self._answered = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for _, r in rows])[:, 1:]
        self._model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=5e-7)
        self._tokens = tokens_of(pairs)

    def __call__(self) -> int:
        import torch

        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        keep = self._longest + 1 if self.responses_only else 0
        logits = self._model(
            input_ids=self._ids, attention_mask=self._mask, position_ids=positions, logits_to_keep=keep, use_cache=False
        ).logits[:, :-1]
        count = logits.shape[1]
        targets = self._ids[:, -count:, None]
        tokens = logits.float().log_softmax(-1).gather(-1, targets).squeeze(-1)
        chosen, rejected = torch.where(self._answered[:, -count:] > 0, tokens, 0.0).sum(-1).chunk(2)
        loss = -torch.nn.functional.logsigmoid(BETA * (chosen - rejected)).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self.loss, self.gradient_norm = loss.item(), norm.item()
        self._optimizer.step()
        self._optimizer.zero_grad()
        return self._tokens


class ResponseLogits(AllLogits):
    """The same with the logits of response positions alone."""

    responses_only = True
