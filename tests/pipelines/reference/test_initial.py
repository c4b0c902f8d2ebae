"""`nashflow init`: recipes that run as they are written, and nothing is overwritten."""

import contextlib
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.reference.schema import FILE
from tests.fixtures import cli, models


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model, its own judge: each letter is a token, A and B too."""
    return models.llama(tmp_path_factory.mktemp("model"))


def init(folder: Path, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """`nashflow init` in a folder."""
    with contextlib.chdir(folder):
        return cli.here("init", *arguments, check=check)


def run(folder: Path, *arguments: str) -> None:
    """`nashflow run` in a folder."""
    subprocess.run(cli.command("run", *arguments), cwd=folder, env=cli.environment(), check=True)


def made(folder: Path, *arguments: str) -> Path:
    """A recipe that was written in a folder, after what the command says was checked."""
    name = next((each for each in arguments if each.endswith(".yaml")), "recipe.yaml")
    said = init(folder, *arguments).stdout.splitlines()
    assert said[-1] == f"next: nashflow run {shlex.quote(name)}"
    assert all((folder / line).is_file() for line in said[:-1])
    return folder / name


def test_the_sandbox_recipe_is_the_quickstart(tmp_path: Path) -> None:
    recipe = load_recipe(str(made(tmp_path)))
    assert recipe == load_recipe("quickstart", ["run.name=recipe"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, "recipe.yaml"]


def test_what_is_commented_out_are_the_defaults(tmp_path: Path, model: Path) -> None:
    for path in (made(tmp_path), made(tmp_path, "other.yaml", "--model", str(model))):
        before, text = load_recipe(str(path)), path.read_text(encoding="utf-8")
        path.write_text(text.replace("#~ ", ""))
        assert text.count("#~ ") > 30
        assert load_recipe(str(path)) == before


def test_editors_find_the_schema_beside_it(tmp_path: Path, model: Path) -> None:
    for path in (made(tmp_path, "a.yaml"), made(tmp_path, "b.yaml", "--model", str(model))):
        text = path.read_text(encoding="utf-8")
        named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", text.splitlines()[0])
        assert named
        validator = Draft7Validator(json.loads((path.parent / named[1]).read_text(encoding="utf-8")))
        assert validator.is_valid(yaml.safe_load(text))
        assert not validator.is_valid(yaml.safe_load(text) | {"trainnig": {}})


def test_a_models_recipe_names_it_and_prompts_that_are_there(tmp_path: Path, model: Path) -> None:
    recipe = load_recipe(str(made(tmp_path, "My First.yaml", "--model", str(model))))
    assert (recipe.run.name, recipe.policy.model_dump()["model"]) == ("my-first", str(model))
    lines = (tmp_path / recipe.prompts.path).read_text(encoding="utf-8").splitlines()
    assert len({json.loads(line)[recipe.prompts.field] for line in lines}) >= (
        recipe.prompts.per_iteration + recipe.prompts.held_out
    )


def test_prompts_that_are_there_are_kept(tmp_path: Path, model: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "mine"}\n')
    made(tmp_path, "--model", str(model))
    assert (tmp_path / "prompts.jsonl").read_text() == '{"prompt": "mine"}\n'


# --- bad input -------------------------------------------------------------------------------------------------------


def refusal(folder: Path, *arguments: str) -> str:
    done = init(folder, *arguments, check=False)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    return str(line.removeprefix("nashflow: "))


def test_a_recipe_is_not_overwritten_and_the_advice_works(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("mine\n")
    line = refusal(tmp_path)
    advised = line.rpartition(" such as ")[2]
    assert line.startswith("recipe.yaml already exists")
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
    assert (tmp_path / "recipe.yaml").read_text() == "mine\n"
    assert load_recipe(str(made(tmp_path, advised))).run.name == "recipe-2"
    assert refusal(tmp_path, FILE).endswith("give another name, such as nashflow.schema-2.yaml")


def test_a_folder_that_is_not_there_and_one_without_a_model_are_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, "no/recipe.yaml") == "no/recipe.yaml: there is no folder no: make it first"
    assert refusal(tmp_path, "--model", "no").startswith("model folder no does not exist")
    assert refusal(tmp_path, "--model", str(tmp_path)).endswith(
        "has no config.json: it is not a Hugging Face model folder"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    bare = models.llama(tmp_path / "model", chat_template=None)
    assert "chat_template" in refusal(tmp_path, "--model", str(bare))


# --- as written ------------------------------------------------------------------------------------------------------


@pytest.mark.runs
def test_the_sandbox_recipe_runs(tmp_path: Path) -> None:
    made(tmp_path)
    run(tmp_path, "recipe.yaml", "--set", "run.iterations=1", "--set", "prompts.per_iteration=1024")
    assert (tmp_path / "runs/recipe/report/summary.json").is_file()


@pytest.mark.runs
def test_a_models_recipe_runs(tmp_path: Path, model: Path) -> None:
    made(tmp_path, "own.yaml", "--model", str(model))
    run(tmp_path, "own.yaml")
    assert (tmp_path / "runs/own/report/summary.json").is_file()
