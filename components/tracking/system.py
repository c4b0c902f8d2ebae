"""How busy the machine of a step is, as MLflow measures it and shows it on a run's page."""

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

from .metrics import Point

_ENABLED, _EVERY = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"
"""MLflow's own variables: `false` leaves these figures out; seconds between two of them, 10 by default."""


class System:
    """MLflow's monitors of processors, memory, disk, network and, with nvidia-ml-py, GPUs."""

    def __init__(self, suffix: str = "") -> None:
        """`suffix`: names this shard, put before the figures as MLflow does with the name of a node."""
        self._prefix = "system/" + (f"{suffix.strip('/')}/" if suffix else "")
        self._every = float(os.environ.get(_EVERY) or 10)
        self._monitors = [] if os.environ.get(_ENABLED, "").lower() == "false" else _monitors()
        self._due = time.time() + self._every
        for monitor in self._monitors:  # the first measurement is the one since the machine was started
            monitor.collect_metrics()
            monitor.clear_metrics()

    def points(self, *, last: bool) -> Iterator[Point]:
        """What is measured now, if that is due, or the `last` time."""
        now = time.time()
        if not self._monitors or (now < self._due and not last):
            return
        self._due, figures = now + self._every, dict[str, float]()
        for monitor in self._monitors:
            monitor.collect_metrics()
            figures |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        named = {f"{self._prefix}{name}": value for name, value in figures.items()}
        yield Point(int(now), int(now * 1000), named)


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    kinds: list[Any] = [CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor]
    made = []
    for kind in kinds:
        with contextlib.suppress(Exception):  # without nvidia-ml-py or GPUs, or with a driver that is not its own
            made.append(kind())
    return made
