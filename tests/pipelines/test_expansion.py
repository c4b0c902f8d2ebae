"""Nothing that a person writes is changed on its way to a pod, nor can it read a variable there."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.recipe import Recipe as StepRecipe
from nashflow.components.recipe import with_settings
from nashflow.pipelines.carried import carried
from nashflow.pipelines.graph import write_graph
from nashflow.pipelines.recipe import Recipe, load_for_runs, load_recipe
from tests.fixtures.expansion import arrived
from tests.fixtures.graphs import Place, load, unrolled
from tests.fixtures.recipe_fields import FRAGMENTS, leaves, texts

EVERYTHING = "".join(FRAGMENTS).replace("${", "$ {")
RECIPES = ("quickstart", "inpo-llama3-8b", "inpo-llama3-8b-rm")


def with_text(recipe: Recipe, key: str, value: Any) -> Recipe | str:
    """The recipe with another value under a key, or what refuses it."""
    data = recipe.model_dump(mode="json")
    *sections, last = key.split(".")
    place = data
    for section in sections:
        if isinstance(place.setdefault(section, {}), str):  # short for a variant of this kind
            place[section] = {last: place[section]}
        place = place[section]
    place[last] = value
    try:
        return Recipe.parse(data, "test")
    except UserError as error:
        return str(error)


def with_given_responses() -> Recipe:
    """A recipe over model folders whose prompts come with a teacher's responses."""
    data = load_recipe("inpo-llama3-8b").model_dump(mode="json")
    data["method"] = load_recipe("sandbox-dno").method.model_dump(mode="json")
    data["prompts"]["given"] = ["teacher"]
    return Recipe.parse(data, "test")


def fields_of_text(recipe: Recipe) -> list[tuple[str, Callable[[str], Any]]]:
    """Keys whose values are texts, or have some, and what makes such a value of a text."""
    plain = [(key, lambda text: text) for key, _, value in leaves(recipe) if isinstance(value, str)]
    lists = [(key, lambda text: [text]) for key, _, value in leaves(recipe) if isinstance(value, tuple)]
    return plain + lists


def given_to_preparation(package: Path) -> str:
    """The recipe's text as preparation's process sees it, unless a cluster replaces something in it."""
    return arrived(str(unrolled(package)[Place("preparation")].flags["recipe"]))


# --- the recipe ------------------------------------------------------------------------------------------------------

_OF_PROMPTS = {f"prompts.{name}" for name in ("path", "field", "given", "subset", "split", "revision")}
FREE = {
    *_OF_PROMPTS,
    "policy.model",
    "policy.reference",
    "policy.template",
    "oracle.model",
    "oracle.template",
    "rollout.stop",
}
"""Fields that take any text, in one recipe or the other."""


def test_every_text_of_a_recipe_is_refused_or_arrives_as_it_was(tmp_path: Path) -> None:
    """Those that are refused have a pattern or are one of a few words, and are told so by one line."""
    taken = set()
    for before in (*map(load_recipe, RECIPES), with_given_responses()):
        recipe = before
        for key, made in fields_of_text(before):
            changed = with_text(recipe, key, made(EVERYTHING))
            if isinstance(changed, str):
                assert len(changed.splitlines()) == 1
                assert key.rpartition(".")[0] in changed
            else:
                taken.add(key)
                recipe = changed
        write_graph(recipe, tmp_path / "p.yaml", 1)
        there = given_to_preparation(tmp_path / "p.yaml")
        assert StepRecipe.parse(json.loads(there), "--recipe").model_dump(mode="json") == recipe.model_dump(mode="json")
    assert taken == FREE


@given(name=st.sampled_from(RECIPES), text=texts, data=st.data())
@settings(max_examples=10)
def test_so_does_any_text(name: str, text: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    recipe = load_recipe(name)
    key, made = data.draw(st.sampled_from([(key, made) for key, made in fields_of_text(recipe) if key in FREE]))
    changed = with_text(recipe, key, made(text))
    assume(not isinstance(changed, str))
    package = tmp_path_factory.mktemp("expansion") / "p.yaml"
    write_graph(changed, package, 1)
    assert json.loads(given_to_preparation(package)) == changed.model_dump(mode="json")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=10,
    )
)
def test_so_does_any_json(value: Any) -> None:
    text = carried(value)
    assert arrived(text) == text
    assert json.loads(text) == value


def test_nothing_else_in_a_graph_can_be_replaced(tmp_path: Path) -> None:
    """But what KFP replaces itself: whole arguments, and inputs."""
    recipe = with_text(load_recipe("quickstart"), "prompts.field", EVERYTHING)
    assert isinstance(recipe, Recipe)
    write_graph(recipe, tmp_path / "p.yaml", 1)
    ir, platform = load(tmp_path / "p.yaml")
    for container in ir["deploymentSpec"]["executors"].values():
        assert "$(" not in json.dumps(container)
    assert arrived(json.dumps(platform)) == json.dumps(platform)
    assert arrived(ir["pipelineInfo"]["description"]) == ir["pipelineInfo"]["description"]


# --- settings of a run -----------------------------------------------------------------------------------------------


def parameter(recipe: str, key: str, value: Any) -> tuple[Recipe, Recipe, str]:
    """The recipe with a setting of the command line; the one that is compiled, and the run's parameter `set`."""
    setting = f"{key}={json.dumps(value)}"
    whole = load_recipe(recipe, [setting])
    base, given = load_for_runs(recipe, [setting])
    return whole, base, given


@given(text=texts, data=st.data())
@settings(max_examples=40)
def test_settings_arrive_as_they_were(text: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(RECIPES))
    fields = [(key, made) for key, made in fields_of_text(load_recipe(name)) if key in FREE]
    key, made = data.draw(st.sampled_from(fields))
    assume(not isinstance(with_text(load_recipe(name), key, made(text)), str))
    whole, base, settings_given = parameter(name, key, made(text))
    there = arrived(settings_given)
    assert there == settings_given
    assert with_settings(base, shlex.split(there)) == whole
    if settings_given:
        assert base == load_recipe(name)


@pytest.mark.parametrize(
    "text", [EVERYTHING, *FRAGMENTS, "/models/a b.jsonl", "s3://bucket/x-1.jsonl", "yes", "1e3", "a=b"]
)
def test_settings_of_every_kind_arrive_and_share_the_recipes_version(text: str) -> None:
    whole, base, settings_given = parameter("inpo-llama3-8b", "prompts.path", text)
    assert base == load_recipe("inpo-llama3-8b")
    assert whole.prompts.path == text
    assert arrived(settings_given) == settings_given
    assert with_settings(base, shlex.split(arrived(settings_given))) == whole
