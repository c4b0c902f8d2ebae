"""`nashflow doctor --self`: the container that it runs in, without any network."""

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nashflow.pipelines.doctor import itself as module
from nashflow.pipelines.doctor.finding import Finding
from nashflow.pipelines.doctor.itself import itself
from tests.fixtures import cli

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def found(check: str) -> list[Finding]:
    return [finding for finding in itself() if finding.check == check]


def test_here_all_is_well_and_no_connection_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    findings = list(itself())
    assert {finding.state for finding in findings} == {"ok"}
    assert {finding.check for finding in findings} == {"versions", "imports", "temporary folder"}
    modules = [finding.tried for finding in findings if finding.check == "imports"]
    assert len(modules) == len(set(modules))
    assert {"kfp", "kubernetes", "mlflow", "torch", "yaml"} <= set(modules)


@pytest.mark.parametrize(
    ("absent", "needed", "spared"),
    [
        ({"torch"}, {"kfp", "mlflow", "boto3"}, {"torch", "transformers"}),
        ({"kfp"}, {"torch", "transformers", "boto3"}, {"kfp", "kubernetes"}),
        ({"kfp", "torch"}, {"kfp", "kubernetes"}, {"torch"}),
    ],
)
def test_an_image_needs_what_its_kind_needs(
    monkeypatch: pytest.MonkeyPatch, absent: set[str], needed: set[str], spared: set[str]
) -> None:
    """The client's image has no torch, that of the steps no kfp; one without either is a broken client."""
    there = module.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name in absent else there(name))
    modules = set(module._modules())
    assert needed <= modules
    assert not spared & modules


def test_a_module_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "croniter", None)
    failed = [finding for finding in found("imports") if finding.state == "failed"]
    assert [finding.tried for finding in failed] == ["croniter"]
    assert "build the image anew" in failed[0].advice


def test_no_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    (failure,) = found("temporary folder")
    assert failure.state == "failed"
    assert "Read-only file system" in failure.found
    assert "/tmp" in failure.advice


def health(tmp_path: Path, before: str = "") -> tuple[int, dict[str, Any], str]:
    """The images' health command, in a process of its own as any user without a home; exit code, JSON, stderr."""
    code = f"import sys\n{before}\nfrom nashflow.pipelines.cli import main\nsys.argv[1:] = {COMMAND}\nmain()"
    given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "none"), "USER": "anybody"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=given, cwd=tmp_path)
    return done.returncode, json.loads(done.stdout), done.stderr


COMMAND = ["doctor", "--self", "--json"]


def test_a_library_that_tells_of_itself_disturbs_no_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deepspeed.py").write_text("print('Setting accelerator to CPU')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "deepspeed", None)  # which is undone; meanwhile the file is found
    del sys.modules["deepspeed"]
    monkeypatch.setitem(sys.modules, "croniter", None)
    done = cli.here(*COMMAND, check=False)
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], done.stderr) == (1, False, "Setting accelerator to CPU\n")
    assert [each["tried"] for each in told["findings"] if each["state"] == "failed"] == ["croniter"]


def test_the_health_command_where_nothing_of_the_clients_is_installed(tmp_path: Path) -> None:
    """What an image of the steps has is what pyproject's extra for steps asks for, and that is looked at."""
    names = {re.split(r"[<>=\[]", each)[0] for each in [*PROJECT["dependencies"], *EXTRAS["steps"]]}
    client = {re.split(r"[<>=\[]", each)[0].replace("-", "_") for each in EXTRAS["client"]} - names
    code, told, err = health(tmp_path, f"sys.modules.update(dict.fromkeys({sorted(client)}))")
    assert (code, err) == (0, "")
    imported = {each["tried"] for each in told["findings"] if each["check"] == "imports"}
    beside = {"vllm", "deepspeed", "bitsandbytes", "lm_eval", "nltk", "langdetect", "emoji", "syllapy"}
    assert imported - beside == {
        {"nvidia-ml-py": "pynvml", "pyyaml": "yaml", "scikit-learn": "sklearn"}.get(name, name) for name in names
    }
