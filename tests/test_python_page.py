"""docs/python.md: its code runs, block after block, beside a run of the quickstart's recipe."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nashflow.pipelines.api as nashflow
from tests.fixtures.runs import SandboxRun

PAGE = (Path(__file__).parents[1] / "docs/python.md").read_text()
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n", re.M | re.S)


def test_the_code_of_the_page_runs(
    finished_root: SandboxRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/quickstart").symlink_to(finished_root.root)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in BLOCK.finditer(PAGE):
        line = PAGE.count("\n", 0, block.start()) + 1
        exec(compile("\n" * line + block["code"], "docs/python.md", "exec"), names)
    assert "{'000/main': 0.2, '001/main': 0.8}" in capsys.readouterr().out
    assert (tmp_path / "pairs.parquet").is_file()


def test_what_the_page_says_of_gaps_is_so() -> None:
    said = re.findall(r"^nashflow\.(gap_of\(.*?\)) +# ([\d.]+): ", PAGE, re.M)
    names = {"gap_of": nashflow.gap_of, "rock_paper_scissors": [[0.5, 1, 0], [0, 0.5, 1], [1, 0, 0.5]]}
    assert len(said) == 2
    for call, number in said:
        assert eval(call, names) == pytest.approx(float(number), abs=1e-12)


def test_the_page_names_all_that_there_is_to_import() -> None:
    classes = {"Played", "RunRoot", "Verdict"}  # what calls return
    assert {name for name in nashflow.__all__ if name not in classes and f"nashflow.{name}" not in PAGE} == set()


def test_importing_it_loads_nothing_heavy() -> None:
    """Where only the client is installed, or only the steps, the rest works."""
    heavy = {"torch", "transformers", "mlflow", "kfp", "boto3"}
    code = f"import sys, nashflow.pipelines.api; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=os.sep, check=True)
    assert done.stdout.strip() == ""
