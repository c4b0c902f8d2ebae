"""Length control: equal to the alpaca_eval package's own functions, and to what its leaderboard shows of it."""

import ast
import csv
import importlib.util
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn

from nashflow.components.benchmarks.alpaca_eval.length_control import Gamed, length_controlled
from nashflow.components.core.errors import UserError

COUNT = 120


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def drawn(seed: int, skill: float = 0.0) -> tuple[list[Any], list[int], list[int], list[float], Gamed]:
    """Preferences, lengths and tables, of which the longer answers win more often."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 1.5, COUNT)
    theirs, ours = rng.integers(200, 3000, COUNT), rng.integers(200, 3000, COUNT)
    logit = skill + 0.6 * difficulty - 1.5 * np.tanh((theirs - ours) / 900)
    preferences: list[Any] = list(1 + sigmoid(logit + rng.normal(0, 2, COUNT)))
    preferences[3], preferences[5], preferences[7] = None, 1.5, 0
    gap = rng.normal(0, 1, 2 * COUNT)
    wins = sigmoid(np.tile(difficulty, 2) - 2 * np.tanh(gap) + rng.normal(0, 1, 2 * COUNT))
    gamed = Gamed(list(wins), list(gap), list(np.tile(difficulty, 2)))
    return preferences, theirs.tolist(), ours.tolist(), difficulty.tolist(), gamed


def packages_functions() -> dict[str, Any]:
    """The package's function that fits, and those that it needs; the package itself imports much more."""
    found = importlib.util.find_spec("alpaca_eval")
    if not found or not found.origin:
        pytest.skip("alpaca_eval is not installed: pip install --no-deps alpaca-eval==0.6.6")
    tree = ast.parse((Path(found.origin).parent / "metrics/glm_winrate.py").read_text())
    wanted = ("fit_LogisticRegressionCV", "logloss", "logloss_continuous")
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import GroupKFold, StratifiedKFold

    names: dict[str, Any] = {
        "np": np, "pd": pd, "sklearn": sklearn, "LogisticRegression": LogisticRegression,
        "LogisticRegressionCV": LogisticRegressionCV, "make_scorer": make_scorer, "GroupKFold": GroupKFold,
        "StratifiedKFold": StratifiedKFold, "logging": logging,
    }  # fmt: skip
    kept = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    exec(compile(ast.Module(kept, []), "glm_winrate.py", "exec"), names)
    return names


@pytest.fixture
def fit() -> Any:
    """The package's function, which turns a setting of scikit-learn on for good."""
    with sklearn.config_context():
        yield packages_functions()["fit_LogisticRegressionCV"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_package_computes(seed: int, fit: Callable[..., Any]) -> None:
    preferences, theirs, ours, difficulty, gamed = drawn(seed, skill=seed - 1.5)
    gap = pd.Series(theirs) - pd.Series(ours)
    ours_rows = pd.DataFrame(
        {
            "length": np.tanh(gap / gap.std()),
            "difficulty": difficulty,
            "model": 1.0,
            "preference": pd.Series(preferences, dtype=float).replace({0.0: 1.5}) - 1,
        }
    )
    gamed_rows = pd.DataFrame(
        {
            "length": np.tanh(gamed.length_differences),
            "difficulty": gamed.difficulties,
            "model": 0.0,
            "preference": gamed.preferences,
        }
    )
    rows = pd.concat([gamed_rows, ours_rows])
    weights = rows["model"] + 0.2 * (1 - rows["model"]) / 2
    known = rows["preference"].notna()
    model = fit(rows[known], "preference", is_ytrue_proba=True, sample_weight=weights[known], n_splits=5)
    expected = model.predict_proba(ours_rows.drop(columns="preference").assign(length=0))[:, 1]
    found = length_controlled(preferences, theirs, ours, difficulty, gamed)
    assert found.length_controlled_winrate == pytest.approx(expected.mean() * 100, abs=1e-6)
    assert found.lc_standard_error == pytest.approx(pd.Series(expected).sem() * 100, abs=1e-6)


def test_lengths_that_decide_are_taken_out() -> None:
    """Equal models, of which one writes more, are told from unequal ones that write alike."""
    rng = np.random.default_rng(0)
    _, _, _, difficulty, gamed = drawn(0)
    theirs, ours = np.full(COUNT, 1000), 1000 + rng.integers(500, 2000, COUNT)
    longer_wins = list(1 + sigmoid(np.tanh((ours - theirs) / (ours - theirs).std()) + np.array(difficulty) * 0.0))
    raw = 100 * (np.mean(longer_wins) - 1)
    controlled = length_controlled(longer_wins, theirs.tolist(), ours.tolist(), difficulty, gamed)
    assert controlled.length_controlled_winrate < raw - 5
    assert controlled.lc_low < controlled.length_controlled_winrate < controlled.lc_high


def test_scikit_learn_is_left_as_it_was() -> None:
    before = sklearn.get_config()
    length_controlled(*drawn(1))
    assert sklearn.get_config() == before


def test_without_lengths_that_differ_or_a_preference_there_is_no_control() -> None:
    _, _, ours, difficulty, gamed = drawn(0)
    with pytest.raises(UserError, match="the lengths of all answers differ alike"):
        length_controlled([2.0] * COUNT, ours, ours, difficulty, gamed)
    with pytest.raises(UserError, match=rf"none of {COUNT} preferences is known"):
        length_controlled([None] * COUNT, ours, ours[::-1], difficulty, gamed)


@pytest.mark.skipif("NASHFLOW_DATA" not in os.environ, reason="NASHFLOW_DATA is not set")
def test_the_leaderboards_rates_are_means_of_predictions_at_equal_length() -> None:
    """One distribution of difficulties, with the published coefficients, explains all models' rates and their errors.

    The table of difficulties is no part of that data: its distribution is fitted, on a grid.
    """
    from scipy.optimize import nnls

    folder = Path(os.environ["NASHFLOW_DATA"], "alpaca_eval")
    with (folder / "length_controlled_v1_coefficients.csv").open() as file:
        coefficients = {row[0]: [float(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]}
    with (folder / "leaderboard.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row[""] in coefficients and row["lc_standard_error"]]
    assert len(rows) > 30
    grid = np.linspace(-8, 8, 161)
    predicted = np.array([sigmoid(coefficients[row[""]][2] + coefficients[row[""]][1] * grid) for row in rows])
    rates = np.array([float(row["length_controlled_winrate"]) / 100 for row in rows])
    errors = np.array([float(row["lc_standard_error"]) / 100 for row in rows])
    squares = errors**2 * 804 + rates**2  # of the 805 questions
    weights, _ = nnls(np.vstack([predicted, predicted**2, np.ones(len(grid))]), np.concatenate([rates, squares, [1.0]]))
    assert predicted @ weights == pytest.approx(rates, abs=2e-3)
    assert predicted**2 @ weights == pytest.approx(squares, abs=2e-3)
