"""The figures of a policy as it is saved, whose weights are rounded where `save_dtype` is not training's precision."""

import sys
from itertools import chain
from pathlib import Path

from .loop import Trainer

_PAIRS = 512
"""How many pairs are measured, at most."""
_LOST = 1 / 3
"""The part of a margin whose loss is worth a warning."""


def measure_saved(trainer: Trainer, folder: Path, where: str) -> dict[str, float]:
    """Take over the trained weights as they are saved in a folder, and measure what they do then.

    The figures are means over pairs of the last tenth of updates: `loss_saved`, `h_saved` (nats) and `accuracy_saved`
    at the saved weights; where rounding changes them, `h_unrounded` before it. Warns, with the name `where` of the
    training, where much of the margin is lost: steps of a small learning rate are smaller than the gaps between the
    numbers of bfloat16, so most weights return to where they were. Nothing is measured where the adapter would start
    from other weights than the folder's.
    """
    if not trainer.settings.adapter.exact:
        return {}
    batches = list(trainer.plan())
    pairs = list(chain.from_iterable(batches[-max(1, len(batches) // 10) :]))[-_PAIRS:]
    dtype = trainer.settings.save_dtype
    if dtype == "float32":
        return _saved(trainer.measure(pairs))
    before = trainer.measure(pairs)["h"]
    trainer.take_over(folder)
    figures = _saved(trainer.measure(pairs))
    after = figures["h_saved"]
    if trainer.descent.rank == 0 and before - after > _LOST * abs(before):
        print(
            f"warning: {where}: the margin h is {before:.3g} nats, and {after:.3g} with weights rounded to "
            f"{dtype}, as they are saved: set training.save_dtype and rollout.dtype to float32, or raise "
            "training.learning_rate",
            file=sys.stderr,
            flush=True,
        )
    return {**figures, "h_unrounded": before}


def _saved(figures: dict[str, float]) -> dict[str, float]:
    return {f"{name}_saved": value for name, value in figures.items()}
