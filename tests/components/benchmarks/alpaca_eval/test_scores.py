"""AlpacaEval's win rates: the leaderboard's rows to the last digit, and its definitions by a second way, in pandas."""

import csv
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nashflow.components.benchmarks.alpaca_eval.scores import WinRates, win_rates
from nashflow.components.benchmarks.stored import read_rows
from nashflow.components.core.errors import UserError

COUNTS = ("n_wins", "n_wins_base", "n_draws", "n_total")
RATES = ("win_rate", "standard_error", "discrete_win_rate")


@pytest.mark.skipif("NASHFLOW_DATA" not in os.environ, reason="NASHFLOW_DATA is not set")
@pytest.mark.parametrize("model", ["alpaca-7b", "vicuna-7b", "FuseChat-Llama-3.1-8B-Instruct"])
def test_stored_annotations_give_the_leaderboards_row(model: str) -> None:
    folder = Path(os.environ["NASHFLOW_DATA"], "alpaca_eval")
    annotations = read_rows(folder / model / "annotations.json")
    with (folder / "leaderboard.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row[""] == model)
    rates = win_rates([each["preference"] for each in annotations])
    assert [getattr(rates, name) for name in COUNTS] == [int(row[name]) for name in COUNTS]
    assert [repr(getattr(rates, name)) for name in RATES] == [row[name] for name in RATES]


def in_pandas(preferences: list[float | None]) -> dict[str, Any]:
    """The definitions of the package's metrics, step by step."""

    def described(said: "pd.Series[float]") -> dict[str, Any]:
        draws = ((said == 1.5) | (said == 0)).sum()
        valid = said.astype(float).replace({0.0: 1.5})
        valid = valid[valid.apply(lambda x: 1 <= x <= 2)] - 1
        return {
            "win_rate": valid.mean() * 100,
            "standard_error": valid.sem() * 100,
            "n_wins": (valid > 0.5).sum(),
            "n_wins_base": (valid < 0.5).sum(),
            "n_draws": draws,
            "n_total": len(valid),
        }

    said = pd.Series(preferences, dtype=float)
    discrete = described(said.replace({1.5: 0}).round())["win_rate"]
    return {**described(said.replace({0: 1.5})), "discrete_win_rate": discrete}


SAID = st.one_of(
    st.floats(1, 2), st.sampled_from([None, math.nan, 0, 0.0, 1, 1.5, 2, 1.4999999, 1.5000001, 0.3, 2.4, 3.0])
)


@given(st.lists(SAID, min_size=1, max_size=40))
@example([2.0])
@example([1.5, None, 0])
def test_the_rates_are_those_of_the_definition(preferences: list[float | None]) -> None:
    expected = in_pandas(preferences)
    if not expected["n_total"]:
        with pytest.raises(UserError, match=rf"^none of {len(preferences)} preferences is one: a preference is a numb"):
            win_rates(preferences)
        return
    rates = win_rates(preferences)
    assert rates.no_preference == len(preferences) - expected["n_total"]
    assert rates.low - 1e-9 <= rates.win_rate <= rates.high + 1e-9
    for name, value in expected.items():
        found = getattr(rates, name)
        assert (found is None and np.isnan(value)) or found == pytest.approx(value, abs=1e-9), name


def test_what_rounds_to_a_win_is_one() -> None:
    rates = win_rates([1.6, 1.4, 1.5, None])
    assert rates == WinRates(
        win_rate=pytest.approx(50.0),
        standard_error=pytest.approx(100 * 0.1 / math.sqrt(3)),
        low=rates.low,
        high=rates.high,
        discrete_win_rate=50.0,
        n_wins=1,
        n_wins_base=1,
        n_draws=1,
        n_total=3,
        no_preference=1,
    )
