"""A million prompts are prepared in the memory of a few."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PREPARED = """
import sys
from pathlib import Path
import torch, transformers
from nashflow.components.core.machine import peak_gib
from tests.fixtures.folders import over
from tests.fixtures.runs import SandboxRun, recipe

folders, file, root = map(Path, sys.argv[1:])
prompts = {"path": str(file), "per_iteration": 1000, "held_out": 64}
metrics = SandboxRun(str(root), recipe(over(folders, prompts=prompts))).step("preparation").metrics
print(int(metrics["kept"]), peak_gib())
"""


def rows(count: int) -> Iterator[pa.Table]:
    for start in range(0, count, 10_000):
        numbers = range(start, start + 10_000)
        yield pa.table({"prompt": [f"question {n}" for n in numbers], "other": [f"text {n} " * 5 for n in numbers]})


@pytest.mark.slow
@pytest.mark.timeout(0)  # it is work for minutes, on a busy machine for an hour
def test_a_million_prompts_take_the_memory_of_ten_thousand(folders: Path, tmp_path: Path) -> None:
    peaks = []
    for count in (10_000, 1_000_000):
        file = tmp_path / f"{count}.parquet"
        pq.write_table(pa.concat_tables(rows(count)), file)  # one group of rows, as writers make it
        command = [sys.executable, "-c", PREPARED, str(folders), str(file), str(tmp_path / str(count))]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
        kept, peak = done.stdout.split()[-2:]
        assert int(kept) == count
        peaks.append(float(peak))
    assert peaks[1] <= 1.2 * peaks[0], peaks
