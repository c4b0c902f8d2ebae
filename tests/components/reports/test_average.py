"""The gap of the average iterate, against its definition on the policies themselves."""

import numpy as np
import pytest

from nashflow.components.games.preference import log_normalise
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.reports.average import average_gaps
from nashflow.components.reports.summary import summarise
from nashflow.components.storage import layout
from nashflow.components.storage.run import require_run
from nashflow.components.storage.units import require_manifest
from tests.fixtures.runs import SandboxRun, log_policy


def test_it_is_what_the_best_response_gains_against_the_mean_policy(finished_root: SandboxRun) -> None:
    run = require_run(finished_root.store)
    evaluations = {t: require_manifest(finished_root.store, layout.evaluation(t)) for t in (0, 1, 2)}
    gaps = average_gaps(finished_root.store, run, evaluations)
    policies = [np.exp(log_normalise(log_policy(finished_root.folder(f"{t:03d}/main")))) for t in (0, 1, 2)]
    matrix = make_world(WorldSettings()).matrix
    for t in (0, 1, 2):
        mean = np.mean(policies[: t + 1], axis=0)
        best = np.einsum("cij,cj->ci", matrix, mean).max(1)
        assert gaps[t] == pytest.approx((2 * best - 1).mean(), abs=1e-6)
    assert gaps[0] == pytest.approx(evaluations[0].metrics["duality_gap_unregularised"], abs=1e-9)
    rows = summarise(finished_root.store, run, 2)["iterations"]
    assert [row["duality_gap_average"] for row in rows] == list(gaps.values())


def test_a_run_without_the_game_benchmark_has_none(finished_root: SandboxRun) -> None:
    run = require_run(finished_root.store)
    run.recipe["evaluation"]["benchmarks"] = ["head_to_head"]  # type: ignore[index]
    assert average_gaps(finished_root.store, run, {}) == {}
