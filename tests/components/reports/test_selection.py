from pathlib import Path

import numpy as np
import pytest

from nashflow.components.benchmarks.base import Figure
from nashflow.components.benchmarks.intervals import mean_interval
from nashflow.components.benchmarks.shares import means
from nashflow.components.oracles.sandbox.settings import SandboxOracle
from nashflow.components.reports.reported import read_reported
from nashflow.components.reports.selection import Measurement, measurements, rank
from tests.components.reports.toy_runs import GAME, WON, evaluations, toy_run

WIN = Figure("win_rate", "win rate", better="higher")
GAP = Figure("duality_gap", "gap", better="lower")


def tried(*samples: np.ndarray) -> list[Measurement]:
    return [Measurement(float(sample.mean()), means(dict(enumerate(sample.tolist())))) for sample in samples]


def test_the_interval_of_a_single_run_is_that_of_its_mean() -> None:
    values = np.linspace(0.2, 0.9, 20)
    best, (standing,) = rank(WIN, tried(values))
    low, high = mean_interval(values)
    assert best == 0
    assert standing.interval == pytest.approx((values.mean(), float(low), float(high)))
    assert standing.behind is None


def test_more_runs_have_wider_intervals() -> None:
    values = np.linspace(0.2, 0.9, 20)
    widths = [rank(WIN, tried(*[values] * count)).standings[0].interval for count in (1, 2, 8, 32)]
    ends = [(each.low, each.high) for each in widths if each]
    assert ends == sorted(ends, key=lambda each: each[1] - each[0])
    assert len(set(ends)) == len(ends)


def test_differences_are_paired_by_prompt() -> None:
    """Runs that are better by the same on every prompt differ surely, however much prompts do."""
    values = np.linspace(0.05, 0.9, 12)
    best, standings = rank(WIN, tried(values, values + 0.1))
    assert best == 1
    behind = standings[0].behind
    assert behind
    assert behind.value == pytest.approx(0.1)
    assert behind.low > 0


def test_an_equal_run_is_not_shown_to_be_worse() -> None:
    values = np.linspace(0.05, 0.9, 12)
    best, standings = rank(WIN, tried(values, values))
    assert best == 0
    behind = standings[1].behind
    assert behind
    assert behind.low <= 0


def test_the_least_gap_is_best() -> None:
    best, standings = rank(GAP, [Measurement(gap) for gap in (0.3, 0.1, 0.2)])
    assert best == 1
    assert [standing.value for standing in standings] == [0.3, 0.1, 0.2]
    assert all(standing.interval is None and standing.behind is None for standing in standings)


def test_a_standard_error_gives_the_normal_interval() -> None:
    one, other = rank(GAP, [Measurement(1.0, error=0.1), Measurement(2.0, error=0.1)]).standings
    assert one.interval == pytest.approx((1.0, 1 - 0.2241, 1 + 0.2241), abs=1e-4)
    assert other.behind == pytest.approx((1.0, 1 - 1.96 * 0.02**0.5, 1 + 1.96 * 0.02**0.5), abs=1e-4)


def test_all_intervals_of_many_equal_runs_hold_at_once() -> None:
    """Of 16 runs of mean 1/2, chosen by the sample that measures them, the best one's interval has 1/2 as well."""
    generator = np.random.default_rng(0)
    held = single = 0
    for _ in range(400):
        samples = generator.beta(2, 2, (16, 24))
        runs = tried(*samples)
        best, standings = rank(WIN, runs)
        ends = [each.interval for each in standings if each.interval]
        held += all(low <= 0.5 <= high for _, low, high in ends)
        low, high = mean_interval(samples[best])
        single += bool(low <= 0.5 <= high)
    assert held >= 0.92 * 400
    assert single < 0.75 * 400  # as an interval that knows nothing of the other tries


def test_a_runs_measurement_has_the_mean_of_each_prompt(tmp_path: Path) -> None:
    report = read_reported(toy_run(tmp_path / "run", evaluations(3, WON, GAME)).uri)
    found = measurements(report, SandboxOracle())
    assert found["win_rate"].value == WON[2]["win_rate"]
    assert found["win_rate"].shares == means({-1: 0.5, -2: 0.55, -3: 0.6, -4: 0.65})
    assert found["duality_gap"] == Measurement(GAME[2]["duality_gap"])
    assert "another" not in found
