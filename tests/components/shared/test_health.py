"""What a container says of itself."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from nashflow.components.shared import health
from nashflow.components.shared.errors import UserError

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]


def test_the_versions_are_those_that_are_installed() -> None:
    found = health.check(["numpy", "pydantic", "pyarrow"])
    assert {name: found[name] for name in ("numpy", "pydantic", "pyarrow")} == {
        name: importlib.metadata.version(name) for name in ("numpy", "pydantic", "pyarrow")
    }
    assert (found["python"], found["user"]) == (sys.version.split()[0], str(os.getuid()))
    assert Path(found["temporary"]).is_dir()


def test_everything_is_checked_that_a_step_asks_for() -> None:
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["steps"]]
    names = {re.split(r"[<>=\[]", requirement)[0] for requirement in asked}
    assert names - {"pyyaml"} == set(health.EVERY_STEP)  # steps get JSON; recipes are read by the client


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"^nonexistent cannot be imported: No module named 'nonexistent'; build"):
        health.check(["numpy", "nonexistent"])


def test_a_module_that_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("raise SystemError('libone.so:\\n  not found')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"^broken_library cannot be imported: libone\.so: not found; build"):
        health.check(["broken_library"])


def test_a_module_without_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shy_library.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert health.check(["shy_library"])["shy_library"] == "unknown"


def test_no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(UserError, match=r"^no temporary folder: No such file or directory; mount an emptyDir at /tmp$"):
        health.check([])


def test_one_line_on_stderr_and_code_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(health, "EVERY_STEP", ())
    assert health.main(["nonexistent"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("health: nonexistent cannot be imported")
    assert said.err.count("\n") == 1


def test_as_a_process() -> None:
    done = subprocess.run([sys.executable, "-m", health.__name__], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {"python", "user", "temporary", *health.EVERY_STEP}
    assert found["torch"] == importlib.metadata.version("torch")
