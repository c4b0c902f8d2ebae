"""Fit a judge to labelled pairs, and measure it on those that were held out."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..fitting.checkpoint import Checkpoints
from ..fitting.loop import Curves
from ..models.folders import save_policy
from ..models.weights import weights_digest
from ..oracles.fitted.labelled import Labelled
from ..oracles.fitted.settings import FIGURES, JudgeSettings
from .held_out import measured, verdict


def fit(
    settings: JudgeSettings, labelled: Labelled, folder: Path, checkpoints: Checkpoints, day: str
) -> tuple[dict[str, Any], Curves]:
    """Write the judge into a folder, as its oracle takes it, with its figures, which are returned with the curves.

    Args:
        settings: how it is fitted.
        labelled: the pairs.
        folder: the folder, made if need be.
        checkpoints: from the newest of which the training goes on.
        day: the ISO date that a chat template may write.

    Raises:
        UserError: the model cannot be used, the pairs are too long, or the training diverges.
    """
    started = time.monotonic()
    fitting = settings.open(labelled.training, day)
    curves = fitting.train(checkpoints)
    save_policy(fitting.model, settings.folder, folder, "float32")
    found = measured(settings.oracle(folder).dated(day).load(), labelled)
    tail = max(1, len(curves["loss"]) // 10)
    trained = {
        "pairs": len(fitting),
        "too_long": len(labelled.training) - len(fitting),
        "updates": fitting.updates,
        "tokens": sum(map(fitting.tokens, fitting.plan())),
        "loss_first": curves["loss"][0],
        **{name: float(np.mean(curves[name][-tail:])) for name in ("loss", "accuracy")},
    }
    figures = {
        "settings": settings.model_dump(mode="json"),
        "verdict": verdict(found),
        **found,
        "trained": trained,
        "read": labelled.said,
        "weights": weights_digest(folder),
        "seconds": round(time.monotonic() - started, 1),
        "made_from": settings.made_from(labelled.digest),
    }
    (folder / FIGURES).write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return figures, curves
