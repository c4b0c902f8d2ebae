"""Wrong input: one clear line on stderr, exit code 2, and nothing half-written."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from nashflow.components.runtime import lock
from nashflow.components.storage.store import open_store
from tests.fixtures import cli
from tests.fixtures.folders import over
from tests.fixtures.runs import recipe


def _refused(
    tmp_path: Path,
    *sets: str,
    recipe: str = "quickstart",
    line: tuple[str, ...],
    command: Callable[..., "subprocess.CompletedProcess[str]"] = cli.here,
    **extra: str,
) -> None:
    """`run` refuses: one line with these words, and no run root."""
    root = tmp_path / "runs/refused"
    done = command("run", recipe, "--run-root", str(root), sets=sets, check=False, **extra)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for words in line:
        assert words in done.stderr
    assert not root.exists()


@pytest.mark.parametrize(
    ("sets", "line"),
    [
        (("training.learing_rate=1e-3",), ("training.learing_rate", "did you mean training.learning_rate?")),
        (("trainnig.epochs=1",), ("trainnig", "did you mean training?")),
        (("method.name=inpoo",), ("method.name", "'inpoo'", "did you mean inpo?")),
        (("method.beta=0.1",), ("method.beta: unknown key",)),
        (("training.epochs=many",), ("training.epochs", "'many'", "integer")),
        (("run.iterations=0",), ("run.iterations", "greater than or equal to 1")),
        (("run.name=Quick Start",), ("run.name",)),
        (("method.samples=6", "method.comparisons=bracket"), ("samples is 6", "power of two", "4 or 8")),
        (("method.samples=3",), ("samples is 3", "even number")),
        (("method.tau=0.6",), ("tau is 0.6, above eta = 0.5", "at most 0.5")),
        (("training.micro_batch_size=32",), ("micro_batch_size, in pairs, has become micro_batch_tokens",)),
        (("oracle.world.seed=5",), ("policy.world and oracle.world differ",)),
        (("prompts",), ("--set prompts", "section.key=value")),
        (("run.name.first=x",), ("--set run.name.first=x", "name is a value, not a section")),
    ],
)
def test_a_recipe_that_cannot_be(tmp_path: Path, sets: tuple[str, ...], line: tuple[str, ...]) -> None:
    _refused(tmp_path, *sets, line=line)


def test_mlflow_is_tried_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "mlruns/0").mkdir(parents=True)
    _refused(tmp_path, line=("set MLFLOW_TRACKING_URI to",), MLFLOW_TRACKING_URI=str(tmp_path / "mlruns"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("run: [1, 2", ("not YAML",)),
        ("- a list", ("a recipe is a mapping with the sections run, method",)),
        ("run: {name: x}", ("method: required, but missing",)),
        ("policy: {kind: folder, model: '${NASHFLOW_NOT_SET}/model'}", ("NASHFLOW_NOT_SET is not set",)),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, line: tuple[str, ...]) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    _refused(tmp_path, recipe=str(tmp_path / "recipe.yaml"), line=("recipe.yaml", *line))


def test_no_such_recipe(tmp_path: Path) -> None:
    _refused(tmp_path, recipe="quikstart", line=("quikstart: no such recipe", "quickstart"), command=cli.call)


def test_no_library_says_more(tmp_path: Path, folders: Path) -> None:
    """What else is refused of folders and prompts is in the tests of preparation."""
    bad = Path(shutil.copytree(folders / "policy", tmp_path / "bad"))
    (bad / "chat_template.jinja").unlink()
    whole = recipe(over(folders, policy__model=str(bad))).model_dump(mode="json")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(whole))
    file = str(tmp_path / "recipe.yaml")
    _refused(tmp_path, recipe=file, line=(str(bad), "no chat template"), command=cli.call)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of run roots, which share the reference that the first of them makes."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.runs
def test_another_recipes_run_root_says_what_differs(beside: Path) -> None:
    root = beside / "other"
    sets = (*cli.SMALL, "run.iterations=1")
    cli.call("run", "quickstart", "--run-root", str(root), sets=sets)
    before = cli.records(root)
    done = cli.call("run", "quickstart", "--run-root", str(root), sets=(*sets, "method.eta=0.7"), check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "method.eta is 0.5 there and 0.7 here" in line
    assert "choose another run root" in line
    assert cli.records(root) == before
    assert lock.held_by(open_store(str(root))) == ("", "")


@pytest.mark.runs
def test_not_one_pair_left(beside: Path) -> None:
    """At this temperature both responses of nearly every prompt are one text."""
    root = beside / "pairless"
    sets = (*cli.SMALL, "prompts.per_iteration=4", "method.temperature=0.001", "judging.drop_identical=true")
    done = cli.call("run", "quickstart", "--run-root", str(root), sets=sets, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert "not one pair is left" in line
    assert "judging.drop_identical" in line
    assert not (root / "policies/001").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
@pytest.mark.runs
def test_a_full_disk_is_one_line_and_can_be_tried_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode()}")
    try:
        sets = (*cli.SMALL, "run.iterations=1")
        tracking = f"sqlite:///{tmp_path / 'mlflow.db'}"
        done = cli.call(
            "run", "quickstart", "--run-root", str(disk / "run"), sets=sets, check=False, MLFLOW_TRACKING_URI=tracking
        )
        assert done.returncode == 75, done.stdout + done.stderr
        first, second = done.stderr.splitlines()
        assert "no space left" in first
        assert "the same command resumes it" in second
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        cli.call("run", "quickstart", "--run-root", str(disk / "run"), sets=sets, MLFLOW_TRACKING_URI=tracking)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
