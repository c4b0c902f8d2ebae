"""Length control: equal to the alpaca_eval package's own functions, and to what its leaderboard shows of it."""

import ast
import csv
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn

from nashflow.components.benchmarks.alpaca_eval.benchmark import AlpacaEval
from nashflow.components.benchmarks.alpaca_eval.length_control import Gamed, length_controlled
from nashflow.components.benchmarks.stored import Files
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


def package(monkeypatch: pytest.MonkeyPatch, tables: Path) -> Any:
    """The package's own module of length control, with its tables in a folder.

    Of the package, which imports much that nothing here needs, its metrics alone are imported.
    """
    found = importlib.util.find_spec("alpaca_eval")
    if not found or not found.origin or not importlib.util.find_spec("patsy"):
        pytest.skip("alpaca_eval is not installed: make slow installs it")
    folder = Path(found.origin).parent
    names: dict[str, Any] = {"pd": pd, "np": np, "Any": Any}
    wanted = ("convert_to_dataframe", "validate_alpacaeval_preference")
    source = ast.parse((folder / "utils.py").read_text())
    kept: list[ast.stmt] = [each for each in source.body if isinstance(each, ast.FunctionDef) and each.name in wanted]
    exec(
        compile(ast.Module([*ast.parse("from __future__ import annotations").body, *kept], []), "utils", "exec"), names
    )
    settings = {"DATASETS_TOKEN": None, "DATASETS_FORCE_DOWNLOAD": False, "DEFAULT_CACHE_DIR": None}
    parts = {"utils": names, "constants": settings, "types": {"AnyLoadableDF": Any}}
    made = ModuleType("alpaca_eval")
    made.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, "alpaca_eval", made)
    for name, content in parts.items():
        part = ModuleType(f"alpaca_eval.{name}")
        vars(part).update({key: content[key] for key in content if not key.startswith("__")})
        monkeypatch.setitem(sys.modules, part.__name__, part)
        setattr(made, name, part)
    metrics = importlib.import_module("alpaca_eval.metrics.glm_winrate")
    for name in [each for each in sys.modules if each.startswith("alpaca_eval.metrics")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(metrics, "hf_hub_download", lambda *, filename, **_: str(tables / filename))
    return metrics


def written(folder: Path, seed: int, skill: float) -> tuple[Path, Path]:
    """Annotations, and the folder of the tables, as the package's own files have them."""
    preferences, theirs, ours, difficulty, gamed = drawn(seed, skill)
    rows = [
        {
            "instruction": f"i{at}",
            "dataset": "koala",
            "annotator": "weighted",
            "preference": preferences[at],
            "generator_1": "gpt4_1106_preview",
            "output_1": "b" * theirs[at],
            "generator_2": "mine",
            "output_2": "a" * ours[at],
        }
        for at in range(COUNT)
    ]
    (folder / "annotations.json").write_text(json.dumps(rows))
    pd.DataFrame(
        {
            "model": ["verbose"] * COUNT + ["concise"] * COUNT,
            "preference": [None, *gamed.preferences[1:]],
            "index": list(range(COUNT)) * 2,
            "std_delta_len": gamed.length_differences,
            "instruction_difficulty": gamed.difficulties,
            "not_gamed_baseline": False,
        }
    ).to_csv(folder / "df_gamed.csv", index=False)
    pd.DataFrame({"instruction_difficulty": difficulty}).to_csv(folder / "instruction_difficulty.csv")
    return folder / "annotations.json", folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_package_computes(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same files: all that its `get_length_controlled_winrate` says."""
    annotations, tables = written(tmp_path, seed, seed - 1.5)
    with sklearn.config_context():  # the package turns a setting on for good
        theirs = package(monkeypatch, tables).get_length_controlled_winrate(
            pd.read_json(annotations), save_weights_dir=None
        )
    ours = AlpacaEval.rescored(Files(annotations, data=tables)).figures
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-6)


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
