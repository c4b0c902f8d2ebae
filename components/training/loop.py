"""A policy in training: a phase's objective on its pairs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..core.errors import UserError
from ..core.seeds import derive_uniform
from ..fitting.descent import Descent, Local
from ..fitting.held_out import HeldOut
from ..fitting.loop import Fitting, NotFinite
from ..methods import objective
from ..methods.phases import Phase
from ..models.finite import TRAINED, require_finite
from ..models.folders import load_causal_lm
from ..scoring.batches import units
from ..scoring.groups import by_prompt
from .adapters import nothing_added
from .data import PairData
from .diagnostics import pair_figures
from .speed import Speed

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ..fitting.settings import FittingSettings
    from .settings import TrainingSettings


def updates_of(phase: Phase, settings: "TrainingSettings", pairs: int) -> int:
    """How many optimiser updates a phase makes on its pairs."""
    return phase.updates or settings.epochs * math.ceil(pairs / settings.batch_size)


@dataclass
class Trainer(Fitting):
    """A policy in training on one phase's pairs."""

    model: "PreTrainedModel"
    phase: Phase
    data: PairData
    settings: "TrainingSettings"
    seed: tuple[int | str, ...]
    descends: "Callable[[PreTrainedModel, FittingSettings], Descent]" = Local
    remedy: ClassVar[str] = "lower training.learning_rate"
    budget: ClassVar[str] = "training.micro_batch_tokens"

    def __post_init__(self) -> None:
        import torch

        self.data, held_out = self._split()
        self.base = torch.from_numpy(self.data.base(self.phase)).float().to(self.model.device)
        self.labels = torch.from_numpy(self.data.labels).float().to(self.model.device)
        self.lengths = torch.from_numpy(self.data.lengths).to(self.model.device)
        self.anchors = {
            name: torch.from_numpy(self.data.anchors[name]).float().to(self.model.device) for name in self.phase.weights
        }
        self.padded = self.settings.layout.padded
        self._check_lengths()
        self.speeds = Speed(self.model, self.settings.engine.dtype)
        self.begin(updates_of(self.phase, self.settings, len(self)))
        if self.settings.held_out:
            self.held_out = HeldOut(self.settings.held_out, self.updates, lambda: self.measure(held_out))

    def __len__(self) -> int:
        """How many pairs are trained on, the first ones of the data."""
        return self._count

    def _split(self) -> tuple[PairData, list[int]]:
        """The pairs in an order in which those held out are the last ones; their indices.

        Raises:
            UserError: none would be held out, or none trained on.
        """
        data, settings = self.data, self.settings.held_out
        self._count = len(data)
        if settings is None:
            return data, []
        share = settings.share
        chosen = [derive_uniform(*self.seed, "held out", row_id) < share for row_id, _ in data.rows]
        order = sorted(range(len(data)), key=chosen.__getitem__)
        self._count = chosen.count(False)
        if not 0 < self._count < len(data):
            raise UserError(
                f"phase {self.phase.name}: training.held_out.share = {share:g} leaves {self._count} of {len(data)} "
                "pairs to train on, and the others to measure on: set it nearer to 0.5, or training.held_out to null"
            )
        return data.taken(order), list(range(self._count, len(data)))

    def tokens(self, indices: list[int]) -> int:
        """How many tokens the pairs with these indices have, prompts counted for both sides."""
        return self.data.tokens(indices)

    def cost(self, index: int) -> int:
        """Tokens of the pair with this index, as the layout has them."""
        return self.settings.layout.tokens(self.data.groups[index])

    def units(self, pairs: list[int], most: int) -> list[tuple[int, list[int]]]:
        """What the layout computes together: those of one prompt, if it shares it."""
        found = units([self.data.groups[index] for index in pairs], most, self.settings.layout)
        return [(cost, [pairs[place] for place in places]) for cost, places in found]

    def speed(self, batch: list[int], seconds: float) -> dict[str, float]:
        """MFU, padding and peak memory of this process's share of an update; see `Speed`."""
        parts = [part for part in self.parts(batch) if part]
        positions = sum(map(self.tokens_of_pass, parts))
        groups = [group for part in parts for group in by_prompt(self.data.groups[index] for index in part)]
        return self.speeds.add(groups, positions, seconds) if groups else {}

    def _check_lengths(self) -> None:
        """Refuse pairs that do not fit into a micro-batch."""
        costs, budget = [self.cost(index) for index in range(len(self.data))], self.settings.micro_batch_tokens
        if (most := max(costs)) > budget:
            raise UserError(
                f"phase {self.phase.name}: {sum(cost > budget for cost in costs)} of {len(costs)} pairs have more "
                f"tokens than training.micro_batch_tokens = {budget}, with padding: set it to at least {most}"
            )

    def forward(self, indices: list[int]) -> tuple["torch.Tensor", "dict[str, torch.Tensor]"]:
        """Losses, and the figures of `pair_figures`, (pairs,), of the pairs with these indices."""
        logprobs, base, lengths = self.logprobs(indices), self.base[indices], self.lengths[indices]
        losses = objective.objective(self.phase, logprobs, base, self.labels[indices], lengths)
        anchors = {name: values[indices] for name, values in self.anchors.items()}
        return losses, pair_figures(self.phase, logprobs, base, anchors, lengths)

    def measure(self, indices: list[int]) -> dict[str, float]:
        """Mean loss, h and accuracy of the pairs with these indices under the present weights."""
        import torch

        sums = np.zeros(3)
        with torch.no_grad():
            for part in self.parts(indices):
                losses, figures = self.descent.forward(self.forward, part or indices[:1])
                told = torch.stack([losses.sum(), figures["h"].sum(), figures["accuracy"].sum()])
                sums += bool(part) * told.double().cpu().numpy()
        means = self.descent.gathered(sums.tolist()).sum(0) / len(indices)
        return dict(zip(("loss", "h", "accuracy"), means.tolist(), strict=True))

    def take_over(self, folder: Path) -> None:
        """Take over the weights in a folder, beside which an adapter adds nothing."""

        def read() -> Mapping[str, "torch.Tensor"]:
            weights = load_causal_lm(folder, "float32").state_dict()
            own = ((name, nothing_added(name, weights)) for name in self.model.state_dict())
            return {name: tensor for name, tensor in own if tensor is not None}

        self.descent.load_weights(read)

    def logprobs(self, indices: list[int]) -> "torch.Tensor":
        """log π of both sides of the pairs with these indices, (pairs, 2), in nats, by the phase's reduction.

        Raises:
            NotFinite: one is no finite number.
        """
        groups = [self.data.groups[index] for index in indices]
        values = self.settings.layout.logprobs(self.model, groups).view(len(groups), 2)
        done = self.scheduler.last_epoch
        remedy = f"that is after {done} updates: lower training.learning_rate" if done else TRAINED
        try:
            require_finite(values.detach(), self.model, [group.prompt for group in groups], remedy)
        except UserError as line:
            finite = values.isfinite().all(-1).tolist()
            bad = [index for index, each in zip(indices, finite, strict=True) if not each]
            raise NotFinite(str(line), bad) from None
        return values / self.lengths[indices] if self.phase.reduction == "mean" else values
