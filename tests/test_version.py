"""The version: `pyproject.toml` states it, and everything that repeats it says the same."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from nashflow.components.core.version import VERSION
from nashflow.pipelines.cluster.settings import ImageSettings

ROOT = Path(__file__).parents[1]
STATED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
WRITTEN = re.compile(
    r"\bnashflow-(?:steps|vllm|training|client):(?P<image>\d[\w.-]*)|\btag: (?P<tag>\d[\w.-]*)|"
    r"\bVERSION=(?P<build>\d[\w.-]*)"
)
"""An image's tag, or the version that one is built with, where it is written out."""


def pages() -> list[Path]:
    """What tells readers of images, and the code that might."""
    folders = ("docs", "images", "helm", "components", "pipelines")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    kinds = {".md", ".yaml", ".py", ".tpl", ".txt"}
    return [*ROOT.glob("*.md"), *(path for path in files if path.suffix in kinds)]


def test_the_installed_package_is_of_this_version() -> None:
    assert VERSION == STATED


def test_the_images_of_a_recipe_are_of_this_version_unless_it_says_otherwise() -> None:
    images = ImageSettings().model_dump()
    assert images == {name: f"nashflow-{name}:{VERSION}" for name in ("steps", "vllm", "training")}


def test_the_chart_is_of_this_version_and_installs_its_images() -> None:
    chart = yaml.safe_load((ROOT / "helm/nashflow/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (STATED, STATED)


def test_no_page_names_an_image_of_another_version() -> None:
    written = [
        (path.relative_to(ROOT).as_posix(), found[0], found[found.lastgroup or 0])
        for path in pages()
        for found in WRITTEN.finditer(path.read_text())
    ]
    assert [f"{path}: {text}" for path, text, version in written if version != STATED] == []
    assert {path.partition("/")[0] for path, _, _ in written} >= {"docs", "images", "helm"}


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_the_makefile_builds_images_of_this_version() -> None:
    command = ["make", "--dry-run", "--directory", str(ROOT), "images/steps"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"--tag nashflow-steps:{STATED} " in told
    assert f"--build-arg VERSION={STATED} " in told


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert next(version for version in versions if version != "Unreleased") == STATED
