"""Two runs, and a registered model of the name `m`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nashflow.components.registry.champions import Registry
from nashflow.components.storage.store import Store
from tests.components.reports.toy_runs import WON, evaluations, toy_run

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture
def made(tmp_path: Path) -> Store:
    """A run root with policies of the iterations 0 to 2."""
    return toy_run(f"{tmp_path}/runs/a", evaluations(3, WON))


@pytest.fixture
def registry(client: "MlflowClient") -> Registry:
    return Registry.open("m")


@pytest.fixture
def reigns(registry: Registry, made: Store, tmp_path: Path) -> Callable[[int], Registry]:
    """Crown versions 1 to n, each of another run."""

    def crown(count: int) -> Registry:
        for number in range(1, count + 1):
            store = toy_run(f"{tmp_path}/runs/{number}", evaluations(2, WON))
            crowned(registry, store, "001/main")
        return registry

    return crown


def crowned(registry: Registry, store: Store, policy: str) -> None:
    """Go through the gate with a run's policy, and win."""
    from nashflow.components.registry.gate import gate

    with gate(store, registry.name) as held:
        expected = registry.champion()
        version = registry.register(store, policy, f"{policy} of {store.uri} won")
        registry.crown(version, expected, held)
