"""Fit the run's own judges to labelled pairs, and publish them with their figures on the pairs held out."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..fitting.checkpoint import Checkpoints
from ..iterations.tracked import combined
from ..iterations.work import AtWork, Work
from ..oracles.fitted.labelled import Labelled
from ..oracles.fitted.settings import JudgeSettings
from ..runtime.artifacts import folders_artifact, metrics_artifact
from ..runtime.protocol import Call, Result
from ..storage import layout
from ..storage.run import date_of
from ..storage.units import Manifest, Unit
from .fit import fit
from .settings import JudgeTrainingStep

SETTINGS = JudgeTrainingStep
VERSION = 1
OUTPUTS = ("judges", "metrics")


def run(call: Call[JudgeTrainingStep]) -> Result:
    """Fit every judge that the oracles name, one after the other."""
    at_work = AtWork(call, "judge_training")
    done = [_fitted(call, at_work, judge) for judge in call.settings.judges.values()]
    figures = combined([manifest for manifest, _ in done])
    judges = folders_artifact(call.store, layout.JUDGES, [manifest for manifest, _ in done])
    return Result(
        skipped=all(found for _, found in done),
        figures=figures,
        artifacts={"judges": judges, "metrics": metrics_artifact(figures)},
    )


def _fitted(call: Call[JudgeTrainingStep], at_work: AtWork, judge: JudgeSettings) -> tuple[Manifest, bool]:
    """The manifest of a judge, and whether it was found finished."""
    labelled, day = judge.labelled(), date_of(call.store)
    made_from = judge.made_from(labelled.digest)
    run = call.settings.run.model_dump(mode="json")
    inputs = {"model": made_from["model"], "pairs": labelled.digest, "date": day}
    unit = Unit(call.store, layout.judge(judge.name), VERSION, {"run": run, **made_from["settings"]}, inputs)
    checkpoints = Checkpoints(call.store, f"{unit.key}.training", unit.fingerprint[:16])
    return at_work.carry_out(
        unit, lambda work: _fit(work, judge, labelled, checkpoints, day), lambda _: checkpoints.discard()
    )


def _fit(work: Work, judge: JudgeSettings, labelled: Labelled, checkpoints: Checkpoints, day: str) -> Manifest:
    with tempfile.TemporaryDirectory(prefix="nashflow-judge-") as scratch:
        folder = Path(scratch, "judge")
        figures, curves = fit(judge, labelled, folder, checkpoints, day)
        return work.after(checkpoints.spent).publish_policy(
            folder, _metrics(figures), weights_digest=figures["weights"], curves=curves
        )


def _metrics(figures: Mapping[str, Any]) -> dict[str, float]:
    """Those of the training, and the shares on the held-out pairs with the ends of their intervals."""
    metrics: dict[str, float] = {**figures["trained"], "held_out_pairs": figures["pairs"]}
    metrics["abstentions"], metrics["training_accuracy"] = figures["abstentions"], metrics["accuracy"]
    for name in ("accuracy", "length_only", "over_length"):
        share = figures[name]
        metrics |= {name: share["value"], f"{name}_low": share["low"], f"{name}_high": share["high"]}
    return metrics
