"""The training loop: AdamW on a phase's objective, with exact resume."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import UserError
from ..methods import objective
from ..methods.phases import Phase
from ..models.finite import TRAINED, require_finite
from ..models.folders import Dtype, load_causal_lm
from ..runtime.progress import Progress
from ..scoring.logprobs import sequence_logprobs
from .checkpoint import Checkpoints
from .data import PairData, batches

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from .settings import TrainingSettings

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}

Curves = dict[str, list[float]]
"""One figure an update: loss, h (mean, nats), accuracy (share of pairs with h > 0), gradient_norm, learning_rate."""


def updates_of(phase: Phase, settings: "TrainingSettings", pairs: int) -> int:
    """How many optimiser updates a phase makes on its pairs."""
    return phase.updates or settings.epochs * math.ceil(pairs / settings.batch_size)


@dataclass
class Trainer:
    """A policy in training on one phase's pairs."""

    model: "PreTrainedModel"
    phase: Phase
    data: PairData
    settings: "TrainingSettings"
    seed: tuple[int | str, ...]
    """Names that determine the order of the pairs."""

    def __post_init__(self) -> None:
        import torch
        from transformers import get_scheduler

        self.updates = updates_of(self.phase, self.settings, len(self.data))
        self.base = torch.from_numpy(self.data.base(self.phase)).float().to(self.model.device)
        self.labels = torch.from_numpy(self.data.labels).float().to(self.model.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        self.scheduler = get_scheduler(
            _SCHEDULES[self.settings.schedule],
            self.optimizer,
            # Rounded down: a warm-up's first update has rate 0, and must not be the only one.
            num_warmup_steps=int(self.settings.warmup_ratio * self.updates),
            num_training_steps=self.updates,
        )

    def train(self, checkpoints: Checkpoints) -> Curves:
        """Train to the end, from the newest checkpoint if there is one; the curves of all updates."""
        done, curves = checkpoints.restore(self.model, self.optimizer) or (0, {})
        with warnings.catch_warnings(action="ignore"):  # torch misses the optimizer's steps, which were made before
            for _ in range(done):
                self.scheduler.step()
        with Progress("updates", self.updates, done) as progress:
            for update, batch in enumerate(self.plan(), start=1):
                if update <= done:
                    continue
                figures = self.update(batch)
                progress.add(1, figures, tokens=self.data.tokens(batch))
                for name, value in figures.items():
                    curves.setdefault(name, []).append(value)
                if update % self.settings.checkpoint_updates == 0 and update < self.updates:
                    checkpoints.save(update, self.model, self.optimizer, curves)
        checkpoints.wait()
        return curves

    def plan(self) -> Iterator[list[int]]:
        """The pairs of each update, by their indices."""
        return batches(len(self.data), self.settings.batch_size, self.updates, *self.seed)

    def parts(self, batch: list[int]) -> Iterator[list[int]]:
        """The micro-batches of a batch."""
        size = self.settings.micro_batch_size
        return (batch[at : at + size] for at in range(0, len(batch), size))

    def update(self, batch: list[int]) -> dict[str, float]:
        """One optimiser update on the pairs with these indices; the batch's figures."""
        import torch

        figures = {"loss": 0.0, "h": 0.0, "accuracy": 0.0}
        for part in self.parts(batch):
            losses, h = self.forward(part)
            # Every pair weighs the same, also in a last micro-batch that is smaller.
            (losses.sum() / len(batch)).backward()
            sums = {"loss": losses.detach().sum(), "h": h.detach().sum(), "accuracy": (h > 0).sum()}
            for name, value in sums.items():
                figures[name] += float(value) / len(batch)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_gradient_norm)
        figures |= {"gradient_norm": float(norm), "learning_rate": float(self.scheduler.get_last_lr()[0])}
        if not math.isfinite(figures["loss"]) or not math.isfinite(figures["gradient_norm"]):
            raise UserError(f"training diverged at loss {figures['loss']}: lower training.learning_rate")
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        return figures

    def forward(self, indices: list[int]) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Losses and margins h, (pairs,), of the pairs with these indices."""
        ratios = objective.log_ratios(self.logprobs(indices), self.base[indices])
        return objective.losses(self.phase, ratios, self.labels[indices]), objective.margin(ratios)

    def measure(self, indices: list[int]) -> dict[str, float]:
        """Mean loss, h and accuracy of the pairs with these indices under the present weights."""
        import torch

        with torch.no_grad():
            losses, h = (torch.cat(parts) for parts in zip(*map(self.forward, self.parts(indices)), strict=True))
        return {"loss": float(losses.mean()), "h": float(h.mean()), "accuracy": float((h > 0).float().mean())}

    def start_from(self, folder: Path) -> None:
        """Take over the weights in a folder before the first update."""
        self.model.load_state_dict(load_causal_lm(folder, "float32").state_dict())

    def round_weights(self, dtype: Dtype) -> None:
        """Round every weight to a precision, in place, as saving it does."""
        import torch

        with torch.no_grad():
            for tensor in self.model.state_dict().values():
                if tensor.is_floating_point():
                    tensor.copy_(tensor.to(getattr(torch, dtype)))

    def logprobs(self, indices: list[int]) -> "torch.Tensor":
        """log π of both sides of the pairs with these indices, (pairs, 2), in nats.

        Raises:
            UserError: one is no finite number.
        """
        sides = [self.data.chosen[index] for index in indices] + [self.data.rejected[index] for index in indices]
        values = sequence_logprobs(self.model, sides, self.phase.reduction)
        done = self.scheduler.last_epoch
        remedy = f"that is after {done} updates: lower training.learning_rate" if done else TRAINED
        require_finite(values.detach(), self.model, [prompt for prompt, _ in sides], remedy)
        return values.view(2, len(indices)).T


def summary(phase: Phase, data: PairData, curves: dict[str, Any]) -> dict[str, float]:
    """The figures of a training: means over its last tenth of updates, and the anchors' mean margins."""
    tail = max(1, len(curves["loss"]) // 10)
    figures = {name: float(np.mean(values[-tail:])) for name, values in curves.items() if name != "learning_rate"}
    figures |= {"loss_first": curves["loss"][0], "h_first": curves["h"][0]}
    if phase.link == "squared":
        figures["h_over_target"] = figures["h"] / phase.target
    for name in phase.weights:
        figures[f"margin/{name}"] = float((data.anchors[name][:, 0] - data.anchors[name][:, 1]).mean())
    return figures
