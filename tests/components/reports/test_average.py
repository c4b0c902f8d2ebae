"""The gap of the average iterate, against its definition on the policies themselves."""

import numpy as np
import pytest

from nashflow.components.games.preference import log_normalise
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.iterations.tracked import combined
from nashflow.components.iterations.units import Shape
from nashflow.components.reports.average import average_gaps
from nashflow.components.reports.summary import summarise
from nashflow.components.storage.run import require_run
from nashflow.components.storage.units import Manifest, require_manifest
from tests.fixtures.runs import SandboxRun, log_policy


def test_it_is_what_the_best_response_gains_against_the_mean_policy(finished_root: SandboxRun) -> None:
    run = require_run(finished_root.store)
    evaluations = {t: evaluated(finished_root, t) for t in (0, 1, 2)}
    gaps = average_gaps(finished_root.store, run, evaluations)
    policies = [np.exp(log_normalise(log_policy(finished_root.folder(f"{t:03d}/main")))) for t in (0, 1, 2)]
    matrix = make_world(WorldSettings()).matrix
    for t in (0, 1, 2):
        mean = np.mean(policies[: t + 1], axis=0)
        best = np.einsum("cij,cj->ci", matrix, mean).max(1)
        assert gaps[t] == pytest.approx((2 * best - 1).mean(), abs=1e-6)
    assert gaps[0] == pytest.approx(combined(evaluations[0])["duality_gap_unregularised"], abs=1e-9)
    rows = summarise(finished_root.store, run, 2)["iterations"]
    assert [row["duality_gap_average"] for row in rows] == list(gaps.values())


def test_a_run_without_the_game_benchmark_has_none(finished_root: SandboxRun) -> None:
    run = require_run(finished_root.store)
    evaluations = {t: evaluated(finished_root, t) for t in (0, 1)}
    for t, units in evaluations.items():
        evaluations[t] = [unit for unit in units if not unit.unit.endswith("game/00000")]
        assert len(evaluations[t]) == len(units) - 1
    assert average_gaps(finished_root.store, run, evaluations) == {}


def evaluated(run: SandboxRun, iteration: int) -> list[Manifest]:
    """The manifests of an iteration's evaluation."""
    units = Shape.of(require_run(run.store)).units(iteration)["evaluation"]
    return [require_manifest(run.store, unit) for unit in units]
