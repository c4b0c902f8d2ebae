"""What an oracle has used, as counts of the units of work that asked it."""

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

PREFIX = "usage_"
"""Begins the names of these counts in manifests and MLflow: `usage_tokens`."""

ValueT = TypeVar("ValueT")


class Uses(Protocol):
    """An oracle, or a judge."""

    @property
    def usage(self) -> Mapping[str, float]:
        """What it has used, by name."""


def used_since(oracle: Uses, before: Mapping[str, float]) -> dict[str, float]:
    """The counts of what the oracle has used since its `usage` was `before`, without those that are 0."""
    used = {f"{PREFIX}{name}": value - before.get(name, 0) for name, value in oracle.usage.items()}
    return {name: value for name, value in used.items() if value}


def usage_in(metrics: Mapping[str, ValueT]) -> dict[str, ValueT]:
    """Those of a unit's metrics that are such counts."""
    return {name: value for name, value in metrics.items() if name.startswith(PREFIX)}


def total_usage(units: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The sums of such counts in the metrics of several units."""
    total: dict[str, float] = {}
    for metrics in units:
        for name, value in usage_in(metrics).items():
            total[name] = total.get(name, 0) + value
    return total
