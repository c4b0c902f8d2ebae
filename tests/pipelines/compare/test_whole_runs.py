"""Whole runs of three recipes, tracked by a real server, compared by their names there."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.fixtures import cli
from tests.fixtures.mlflow_store import Server

RUNS = {
    "inpo": ("quickstart", "method.eta=0.5"),
    "inpo-fast": ("quickstart", "method.eta=2"),
    "dpo": ("quickstart-iterative-dpo", "run.threads=1"),
}


def means(root: Path, iteration: int) -> dict[int, float]:
    """The mean probability of each held-out prompt, read from the shard alone."""
    (file,) = (root / f"iterations/{iteration:03d}/evaluation/comparisons").glob("*.parquet")
    table = pq.read_table(file).to_pandas()
    return table[~table.abstained].groupby("row_id").probability.mean().to_dict()  # type: ignore[no-any-return]


@pytest.mark.runs
def test_three_runs_are_compared_by_name_and_the_numbers_are_those_of_the_shards(
    mlflow_server: Server, tmp_path: Path
) -> None:
    for name, (recipe, setting) in RUNS.items():
        sets = (*cli.SMALL, setting, f"run.name={name}")
        root = tmp_path / name
        cli.call("run", recipe, "--quiet", "--run-root", str(root), sets=sets, MLFLOW_TRACKING_URI=mlflow_server.uri)
    page = tmp_path / "page.html"
    arguments = ("compare", *RUNS, "--play", "--json", "--output", str(page))
    said = json.loads(cli.call(*arguments, MLFLOW_TRACKING_URI=mlflow_server.uri).stdout)
    assert [(run["label"], run["run_root"]) for run in said["runs"]] == [(n, str(tmp_path / n)) for n in RUNS]
    last = {name: means(tmp_path / name, 3) for name in RUNS}
    base = last["inpo"]
    for name, found in said["metrics"]["win_rate"]["runs"].items():
        assert found["value"] == pytest.approx(np.mean([*last[name].values()]), abs=1e-12)
        if name != "inpo":
            change = np.mean([last[name][row] - base[row] for row in base])
            assert found["difference"]["value"] == pytest.approx(change, abs=1e-12)
            assert found["difference"]["pairs"] == len(base)
    for run in said["runs"]:
        for row in run["iterations"]:
            here = np.mean([*means(Path(run["run_root"]), row["iteration"]).values()])
            assert row["win_rate"] == pytest.approx(here, abs=1e-12)
    assert len(said["matches"]) == 3
    assert said["settings"]["method.name"] == {"inpo": "inpo", "inpo-fast": "inpo", "dpo": "iterative_dpo"}
    assert page.read_text().count('class="chart"') >= 8
