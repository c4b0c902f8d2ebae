"""The schema of recipes: it takes what is a recipe and refuses what is none, as the models do."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from nashflow.components.core.errors import UserError
from nashflow.pipelines.recipe import SHIPPED, load_recipe
from nashflow.pipelines.reference.paper import paper_values
from nashflow.pipelines.reference.schema import FILE, recipe_schema
from tests.fixtures import cli

SCHEMA = recipe_schema()
RECIPES = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(SHIPPED.glob("*.yaml"))}
BY_ANY_NAME = {"keys", "node_selector"}
"""Mappings whose keys are the user's."""


def complaints(data: Any) -> list[str]:
    return [error.message for error in Draft7Validator(SCHEMA).iter_errors(data)]


def refused(data: Any, folder: Path) -> bool:
    """Whether the models refuse it."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(data))
    try:
        load_recipe(str(path))
    except UserError:
        return True
    return False


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert json.loads(cli.here("schema").stdout) == SCHEMA


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_fits_and_names_the_schema_beside_it(name: str) -> None:
    assert complaints(RECIPES[name]) == []
    first = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={FILE}"
    assert (SHIPPED / FILE).is_file()


def mappings(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all mappings in a recipe, the recipe itself first."""
    if isinstance(data, dict) and (not path or path[-1] not in BY_ANY_NAME):
        yield path
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from mappings(value, (*path, key))


RICH: dict[str, Any] = {
    **RECIPES["inpo-llama3-8b"],
    "policy": {"kind": "sandbox", "world": {"seed": 1}},
    "cluster": {
        **RECIPES["inpo-llama3-8b"]["cluster"],
        "steps": {"training": {"memory": "64Gi", "cpu": "500m", "tolerations": [{"key": "nvidia.com/gpu"}]}},
        "images": {"steps": "nashflow-steps:1"},
    },
}
EXAMPLES = {"quickstart": RECIPES["quickstart"], "rich": RICH}
PLACES = [(name, path) for name, data in EXAMPLES.items() for path in mappings(data)]


@pytest.mark.parametrize(("name", "path"), PLACES)
def test_an_unknown_key_is_refused_wherever_it_stands(name: str, path: tuple[Any, ...]) -> None:
    data = copy.deepcopy(EXAMPLES[name])
    assert complaints(data) == []
    place = data
    for key in path:
        place = place[key]
    place["unheard_of"] = 1
    assert complaints(data)


WRONG: list[dict[str, Any]] = [
    {"method": {"name": "dpo", "beta": 0.1}},
    {"method": {"name": "egpo", "eta": 1.0, "tau": 0.1}},
    {"method": {"name": "egpo", "eta": 1.0}},
    {"method": {"eta": 0.5, "tau": 0.1}},
    {"oracle": {"kind": "reward_model"}},
    {"training": {"epochs": 0}},
    {"training": {"schedule": "cosin"}},
    {"training": {"learning_rate": "fast"}},
    {"run": {"iterations": 3}},
    {"run": {"name": "No Name"}},
    {"prompts": {"held_out": 8}},
    {"judging": None},
    {"cluster": {"steps": {"trainnig": {}}}},
]


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_what_the_models_refuse_is_marked_in_an_editor(change: dict[str, Any], tmp_path: Path) -> None:
    data = {**RECIPES["quickstart"], **change}
    assert complaints(data)
    assert refused(data, tmp_path)


FINE: list[dict[str, Any]] = [
    {"method": {"name": "inpo", "eta": "decreasing", "tau": 0.1}},
    {"cluster": {"steps": {"training": {"cpu": "250m"}, "rollout": {"cpu": 2, "cpu_limit": None}}}},
    {"run": {"name": "${USER_NAME}"}},
]


@pytest.mark.parametrize("change", FINE, ids=str)
def test_what_they_take_is_not(change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER_NAME", "ada")
    data = {**RECIPES["quickstart"], **change}
    assert complaints(data) == []
    assert not refused(data, tmp_path)


def test_only_a_recipe_that_extends_another_may_leave_something_out(tmp_path: Path) -> None:
    short = {"run": {"seed": 1}, "prompts": {"shards": 2}}
    assert len(complaints(short)) == 5, "three sections, the run's name, the number of prompts"
    assert refused(short, tmp_path)
    assert complaints({"extends": "quickstart", **short}) == []
    assert not refused({"extends": "quickstart", **short}, tmp_path)


def test_every_setting_has_a_meaning() -> None:
    """What holds further settings may leave it to them, and what tells variants apart to their own description."""
    for name, model in SCHEMA["$defs"].items():
        assert model["description"], name
        for key, field in model["properties"].items():
            assert "description" in field or "$ref" in field or "const" in field, f"{name}.{key}"


def test_the_papers_values_are_examples() -> None:
    assert SCHEMA["$defs"]["INPO"]["properties"]["eta"]["examples"] == [0.005]
    for (model, field), cited in paper_values().items():
        assert SCHEMA["$defs"][model]["properties"][field]["examples"] == [cited.value]
