"""The loop that fits a model to pairs: AdamW with a schedule, gradients accumulated, exact resume."""

import contextlib
import math
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from ..core.errors import UserError
from ..runtime.progress import Progress
from .checkpoint import Checkpoints
from .descent import MOMENTS, Descent, Local, trained
from .held_out import HeldOut
from .memory import Memory, enough_for
from .micro_batches import micro_batches
from .order import batches

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from .settings import FittingSettings

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}

Curves = dict[str, list[float]]
"""One figure an update: loss, h (mean margin of a pair), accuracy (share of pairs with h > 0), gradient_norm,
learning_rate, whether the gradient was clipped, and what the training measures besides."""
_TOLD = ("loss", "h", "accuracy", "gradient_norm", "learning_rate")
"""The figures that people are told first."""


class NotFinite(UserError):
    """A training has come to a number that is infinite or NaN.

    `pairs`: those that have led to it, by their indices, as far as this process knows.
    """

    def __init__(self, line: str, pairs: list[int]) -> None:
        super().__init__(line)
        self.pairs = pairs


class Fitting(ABC):
    """A model that is being fitted to pairs, which are known by their indices."""

    model: "PreTrainedModel"
    settings: "FittingSettings"
    seed: tuple[int | str, ...]
    """Names that determine the order of the pairs."""
    descends: "Callable[[PreTrainedModel, FittingSettings], Descent]" = Local
    """Makes what moves the model's weights."""
    padded: bool = True
    """Whether the pairs of a pass are padded to the longest."""
    held_out: HeldOut | None = None
    """The measurements on pairs that it is not trained on, if there are such."""
    remedy: ClassVar[str]
    """What to do about a training that diverges, for people."""
    budget: ClassVar[str] = "micro_batch_tokens"
    """The name of that setting, for people."""

    @abstractmethod
    def __len__(self) -> int:
        """How many pairs there are."""

    @abstractmethod
    def forward(self, indices: list[int]) -> tuple["torch.Tensor", "dict[str, torch.Tensor]"]:
        """Losses of the pairs with these indices, and figures of each without gradients, among them h and accuracy, all
        of them (pairs,)."""

    @abstractmethod
    def tokens(self, indices: list[int]) -> int:
        """How many tokens the model reads for the pairs with these indices."""

    @abstractmethod
    def cost(self, index: int) -> int:
        """How many tokens a pass over the pair with this index alone has, with its padding."""

    def speed(self, batch: list[int], seconds: float) -> dict[str, float]:
        """Figures of how fast an update was, which are shown beside its own and are no part of its results."""
        return {}

    def begin(self, updates: int) -> None:
        """Make the optimizer and its schedule, for so many updates."""
        from transformers import get_scheduler

        self.updates = updates
        self.memory = Memory(self.model.device, self.budget)
        self.longest = max(map(self.cost, range(len(self))))
        self.descent = self.descends(self.model, self.settings)
        self.scheduler = get_scheduler(
            _SCHEDULES[self.settings.schedule],
            self.descent.optimizer,
            # Rounded down: a warm-up's first update has rate 0, and must not be the only one.
            num_warmup_steps=int(self.settings.warmup_ratio * updates),
            num_training_steps=updates,
        )

    def train(self, checkpoints: Checkpoints) -> Curves:
        """Train to the end, from the newest checkpoint if there is one; the curves of all updates."""
        best, held_out = checkpoints.beside("best"), self.held_out
        done, curves = checkpoints.restore(self.descent) or (0, {})
        with warnings.catch_warnings(action="ignore"):  # torch misses the optimizer's steps, which were made before
            for _ in range(done):
                self.scheduler.step()
        with Progress("updates", self.updates, done) as progress:
            for update, batch in enumerate(self.plan(), start=1):
                if update <= done:
                    continue
                if held_out and held_out.over(curves):
                    break
                started = time.perf_counter()
                figures = self.update(batch)
                speed = self.speed(batch, time.perf_counter() - started)
                figures |= held_out.figures(update, curves) if held_out else {}
                told = {**{name: figures[name] for name in _TOLD}, **speed, **figures}
                progress.add(1, told, tokens=self.tokens(batch))
                for name, value in figures.items():
                    curves.setdefault(name, []).append(value)
                if held_out and held_out.keeps(curves):
                    best.save(update, self.descent, curves)
                if update % self.settings.checkpoint_updates == 0 and update < self.updates:
                    best.wait()  # a training that goes on from here counts on them
                    checkpoints.save(update, self.descent, curves)
        checkpoints.wait()
        best.wait()
        if held_out and (kept := held_out.best(curves)) < len(curves["loss"]):
            best.restore_only(kept, self.descent)
        return curves

    def plan(self) -> Iterator[list[int]]:
        """The pairs of each update, by their indices."""
        return batches(len(self), self.settings.batch_size, self.updates, *self.seed)

    def parts(self, batch: list[int]) -> list[list[int]]:
        """This rank's micro-batches of a batch; every rank has equally many, so that the last one may be empty."""
        budget, ranks = self.settings.micro_batch_tokens, self.descent.ranks
        share = -(-sum(cost for cost, _ in self.units(batch, budget)) // ranks)
        # A prompt with more pairs than a rank's share leaves the other ranks some of them.
        units = self.units(batch, min(budget, max([share, *map(self.cost, batch)])))
        mine = micro_batches([cost for cost, _ in units], budget, ranks, self.padded)[self.descent.rank]
        return [[index for place in part for index in units[place][1]] for part in mine]

    def units(self, pairs: list[int], most: int) -> list[tuple[int, list[int]]]:
        """What of pairs, by their indices, no pass takes apart, after the tokens that it has, `most` at most: each pair
        alone."""
        return [(self.cost(index), [index]) for index in pairs]

    def tokens_of_pass(self, pairs: list[int]) -> int:
        """How many tokens a pass over the pairs with these indices has."""
        costs = [cost for cost, _ in self.units(pairs, self.settings.micro_batch_tokens)]
        return len(costs) * max(costs) if self.padded else sum(costs)

    def update(self, batch: list[int]) -> dict[str, float]:
        """One optimiser update on the pairs with these indices; the batch's figures."""
        import torch

        means: dict[str, float] = {}
        bad: list[int] = []
        parts = self.parts(batch)
        for place, part in enumerate(parts, start=1):
            # Ranks go through their passes together: one without pairs takes any, and counts it nought times.
            taken = part or batch[:1]
            with self.memory.of_pass(self.tokens_of_pass(taken), self.longest, partial(self._smaller, taken)):
                losses, figures = self._pass(taken, bool(part), len(batch), last=place == len(parts))
            figures = {"loss": losses, **figures}
            sums = torch.stack([values.sum() for values in figures.values()]).tolist()
            for name, value in zip(figures, sums, strict=True):
                means[name] = means.get(name, 0.0) + value / len(batch) * bool(part)
            if not math.isfinite(sums[0]):
                bad += [index for index, finite in zip(part, losses.isfinite().tolist(), strict=False) if not finite]
        means = dict(zip(means, self.descent.gathered(list(means.values())).sum(0).tolist(), strict=True))
        if not math.isfinite(means["loss"]):
            raise self._diverged(means, bad)
        with enough_for("weights, gradients and AdamW's state", "in AdamW's step"):
            norm = self.descent.step()
        if not math.isfinite(norm):
            raise self._diverged(means, batch)
        rate = float(self.scheduler.get_last_lr()[0])
        self.scheduler.step()
        clipped = float(norm > self.settings.max_gradient_norm)
        return {**means, "gradient_norm": norm, "learning_rate": rate, "clipped": clipped}

    def _pass(
        self, pairs: list[int], counted: bool, among: int, last: bool
    ) -> tuple["torch.Tensor", "dict[str, torch.Tensor]"]:
        """A forward and backward pass over pairs of an update `among` so many; as `forward`."""
        losses, figures = self.descent.forward(self.forward, pairs)
        # Every pair weighs the same, whatever its micro-batch.
        self.descent.backward((losses * counted).sum() / among, last)
        return losses.detach(), figures

    def _smaller(self, pairs: list[int]) -> int:
        """The tokens of a pass over fewer pairs that could be made, with memory left for AdamW's state; 0 if none
        could, or other ranks would wait for this one."""
        import torch

        weights = [] if self.descent.optimizer.state else [weight for _, weight in trained(self.model)]
        while self.descent.ranks == 1 and (pairs := pairs[: len(pairs) // 2]):
            with contextlib.suppress(MemoryError, RuntimeError):
                reserved = [torch.ones_like(weight) for weight in weights for _ in MOMENTS]
                self._pass(pairs, True, 1, last=False)
                del reserved
                return self.tokens_of_pass(pairs)
        return 0

    def _diverged(self, means: dict[str, float], pairs: list[int]) -> NotFinite:
        return NotFinite(f"training diverged at loss {means['loss']}: {self.remedy}", pairs)
