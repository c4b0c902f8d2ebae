"""Figures as MLflow takes them, each sent once."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

Metrics = Mapping[str, Any]

_PER_BATCH = 1000


@dataclass(frozen=True)
class Point:
    """Figures of a step's work at one moment."""

    done: int
    """How much of the work was done, such as a training's updates; the MLflow step."""
    timestamp: int
    """Milliseconds since the epoch."""
    figures: Mapping[str, float]
    """By the names that MLflow shows."""


@dataclass(frozen=True)
class Measured:
    """What metrics were measured on."""

    model: str | None = None
    """Id of the logged model."""
    dataset: tuple[str, str] | None = None
    """Name of the data set and its digest, as MLflow has them."""


def accepted(metrics: Metrics) -> dict[str, float]:
    """The finite numbers, by names that MLflow takes: one character that it refuses would cost the whole batch."""
    numbers = {k: float(v) for k, v in metrics.items() if isinstance(v, int | float) and math.isfinite(v)}
    return {re.sub(r"[^\w\-./: ]", "_", key, flags=re.ASCII): value for key, value in numbers.items()}


def log_metrics(
    client: "MlflowClient",
    run_id: str,
    metrics: Metrics,
    step: int,
    timestamp: int,
    measured: Measured = Measured(),
) -> None:
    """Send the finite numbers that are not the run's newest value at this MLflow step already."""
    from mlflow.entities import Metric

    numbers, (name, digest) = accepted(metrics), measured.dataset or (None, None)
    told = _told(client, run_id, numbers, step) if numbers else {}
    new = [
        Metric(key, value, timestamp, step, measured.model, name, digest)
        for key, value in numbers.items()
        if told.get(key) != value
    ]
    for start in range(0, len(new), _PER_BATCH):
        client.log_batch(run_id, metrics=new[start : start + _PER_BATCH])


def _told(client: "MlflowClient", run_id: str, keys: Mapping[str, float], step: int) -> dict[str, float]:
    """The run's newest values at an MLflow step; the history is asked for only where the run has gone on since."""
    latest = {metric.key: metric for metric in client.get_run(run_id).data.to_proto().metrics}
    told = {}
    for key in keys.keys() & latest.keys():
        if latest[key].step == step:
            told[key] = latest[key].value
        elif latest[key].step > step:
            points = [point for point in client.get_metric_history(run_id, key) if point.step == step]
            told |= {key: max(points, key=lambda point: point.timestamp).value} if points else {}
    return told
