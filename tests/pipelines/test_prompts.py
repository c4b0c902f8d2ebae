"""`nashflow prompts`, and what a plan says of prompts."""

import json
from pathlib import Path

import pytest
import yaml

from nashflow.components.core.errors import UserError
from nashflow.components.prompts.settings import PromptSource
from nashflow.pipelines.prompts import prompts_line, show_prompts
from nashflow.pipelines.recipe import load_recipe
from tests.fixtures import cli
from tests.fixtures.folders import over, write_prompts
from tests.fixtures.runs import recipe


@pytest.fixture
def file(folders: Path, tmp_path: Path) -> str:
    """A recipe over prompts some of which are left out."""
    path = write_prompts(tmp_path / "prompts.jsonl", [*(f"question {index}" for index in range(5)), " ", "a" * 99])
    prompts = {"path": str(path), "per_iteration": 4, "held_out": 2, "max_tokens": 30}
    whole = recipe(over(folders, prompts=prompts)).model_dump(mode="json")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(whole))
    return str(tmp_path / "recipe.yaml")


def test_a_recipes_prompts_are_shown_as_its_policy_sees_them(file: str, tmp_path: Path) -> None:
    said = json.loads(cli.here("prompts", file, "--json", "--show", "1").stdout)
    assert (said["layout"], said["read"], said["kept"]) == ("fields", 7, 5)
    assert said["left_out"] == {"empty": 1, "too_long": 1}
    assert said["examples"]["empty"] == f"{tmp_path}/prompts.jsonl: line 6: the prompt is empty"
    assert said["tokens"]["longest"] == said["tokens"]["shortest"] > len("question 0")
    (first,) = said["first"]
    assert first["messages"] == [{"role": "user", "content": "question 0"}]
    assert first["as_seen"] != "question 0"
    assert "question 0" in first["as_seen"]


def test_a_file_of_prompts_is_shown(file: str, tmp_path: Path) -> None:
    lines = cli.here("prompts", str(tmp_path / "prompts.jsonl"), "--show", "2").stdout.splitlines()
    assert lines[0] == f"{tmp_path}/prompts.jsonl: layout fields"
    assert lines[1] == "7 entries, 6 prompts"
    assert lines[2] == f"  1 empty: {tmp_path}/prompts.jsonl: line 6: the prompt is empty"
    assert lines[-1] == "user: question 1"


def test_an_option_that_would_do_nothing_is_refused(file: str, tmp_path: Path) -> None:
    of_recipe, of_path = PromptSource(path=file, field="question"), PromptSource(path=f"{tmp_path}/prompts.jsonl")
    with pytest.raises(UserError, match="use --set, as in --set prompts"):
        show_prompts(file, [], of_recipe, 1, True)
    with pytest.raises(UserError, match="--set is for a recipe"):
        show_prompts(of_path.named, ["prompts.field=question"], of_path, 1, True)


def test_a_plan_says_how_often_each_prompt_is_used(file: str) -> None:
    line = prompts_line(load_recipe(file, ["prompts.on_bad=skip"]))
    assert (
        "each of 4 prompts is used 2 times: the iterations take 8; those that are too long are left out later" in line
    )
    assert "which cannot be read here: " in prompts_line(load_recipe(file))
    assert prompts_line(load_recipe("quickstart")) == "prompts: the sandbox world"
