"""Which settings are a run's own: those that leave the compiled graph as it is; with the recipe they are the whole."""

import json
import shlex
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.recipe import shapes_graph, with_settings
from nashflow.pipelines.graph import write_graph
from nashflow.pipelines.recipe import SHIPPED, Recipe, load_for_runs, load_recipe
from tests.fixtures.expansion import arrived
from tests.fixtures.graphs import load
from tests.fixtures.recipe_fields import free, leaves, others

RECIPES = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
KINDS = ("inpo-llama3-8b", "inpo-llama3-8b-rm", *(name for name in RECIPES if name.startswith("sandbox-")))
"""Each method, each kind of oracle and of policy."""


def valid(name: str, overrides: list[str]) -> Recipe | None:
    try:
        return load_recipe(name, overrides)
    except UserError:
        return None


# --- what shapes the graph -------------------------------------------------------------------------------------------

NUMBERS = (1, 2, 3, 7, 0.25, 0.75, 64)


def others_of(annotation: Any, value: Any) -> tuple[Any, ...]:
    """Other values of a field, as JSON; some of them are valid."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, str):
        return (f"{value}x",)
    return (["chosen", "rejected"],) if isinstance(value, tuple) else NUMBERS


def all_changed(name: str) -> tuple[Recipe, set[str]]:
    """A recipe whose fields have other values, all that can but those that shape the graph; and the keys of these."""
    recipe, overrides, keys = load_recipe(name), list[str](), set[str]()
    for key, (annotation, value) in free(recipe).items():
        for other in others_of(annotation, value):
            changed = valid(name, [*overrides, f"{key}={json.dumps(other)}"])
            if changed and free(changed)[key][1] != value:
                overrides.append(f"{key}={json.dumps(other)}")
                keys.add(key)
                break
    return load_recipe(name, overrides), keys


def graph_of(recipe: Recipe, package: Path) -> list[Any]:
    """A recipe's compiled graph, without what preparation is told of the recipe."""
    write_graph(recipe, package, 1)
    ir, platform = load(package)
    given_to_preparation = ir["components"]["comp-exit-handler-1"]["dag"]["tasks"]["preparation"]["inputs"]
    assert json.loads(given_to_preparation["parameters"].pop("recipe")["runtimeValue"]["constant"])
    return [ir, platform]


@pytest.mark.parametrize("name", KINDS)
def test_no_other_field_changes_the_compiled_graph(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, ["run.iterations=2"])
    changed, keys = all_changed(name)
    changed = changed.model_copy(update={"run": recipe.run})
    assert len(keys) >= 0.75 * len(free(recipe)), free(recipe).keys() - keys
    assert graph_of(changed, tmp_path / "p.yaml") == graph_of(recipe, tmp_path / "p.yaml")


SHAPING = ["run.seed=1", "run.name=x", "prompts.shards=2", "rollout.engine=transformers"]


@pytest.mark.parametrize("setting", [*SHAPING, "cluster.profile=cpu"])
def test_those_that_shape_it_are_the_graphs(setting: str) -> None:
    base, given_to_run = load_for_runs("inpo-llama3-8b", [setting])
    assert shapes_graph(setting)
    assert (base, given_to_run) == (load_recipe("inpo-llama3-8b", [setting]), "")


# --- base and settings are the whole ---------------------------------------------------------------------------------


@st.composite
def overridden(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A shipped recipe and some overrides of any of its fields that it takes, in any order."""
    name = draw(st.sampled_from(RECIPES))
    fields = {key: (annotation, value) for key, annotation, value in leaves(load_recipe(name))}
    overrides: list[str] = []
    for key in draw(st.lists(st.sampled_from(sorted(fields)), max_size=6)):
        setting = f"{key}={json.dumps(draw(others(*fields[key])))}"
        if valid(name, [*overrides, setting]):
            overrides.append(setting)
    return name, overrides


@given(overridden())
@settings(max_examples=50)
def test_a_recipe_and_its_runs_settings_are_the_whole(case: tuple[str, list[str]]) -> None:
    name, overrides = case
    base, given_to_run = load_for_runs(name, overrides)
    assert with_settings(base, shlex.split(arrived(given_to_run))) == load_recipe(name, overrides)
    if all(valid(name, [each]) for each in overrides):
        assert not given_to_run or base == load_recipe(name, [each for each in overrides if shapes_graph(each)])


@given(overridden(), overridden())
@settings(max_examples=20)
def test_runs_that_differ_in_nothing_that_shapes_the_graph_share_it(
    one: tuple[str, list[str]], other: tuple[str, list[str]]
) -> None:
    """Unless they need each other: a setting that its recipe refuses without another one is the recipe's."""
    name = one[0]
    bases = []
    for overrides in (one[1], other[1]):
        alone = [each for each in overrides if not shapes_graph(each) and valid(name, [each])]
        assume(valid(name, alone))
        base, given_to_run = load_for_runs(name, alone)
        assert bool(given_to_run) == bool(alone)
        bases.append(base)
    assert bases == [load_recipe(name)] * 2


def test_a_setting_that_another_one_needs_stays_with_it() -> None:
    """Without the first the recipe would refuse the second."""
    overrides = ["method.eta=0.75", "method.tau=0.6"]
    assert valid("quickstart", overrides[1:]) is None
    base, given_to_run = load_for_runs("quickstart", overrides)
    assert (base, given_to_run) == (load_recipe("quickstart"), shlex.join(overrides))


def test_settings_that_the_graphs_recipe_needs_are_the_recipes() -> None:
    """Another kind of oracle has to have a model, which the recipe does not name."""
    shaping = ["oracle.kind=reward_model", "policy.kind=folder", "evaluation.benchmarks=[head_to_head]"]
    models = ["oracle.model=/models/x", "policy.model=/models/y", "prompts.path=/models/p.jsonl", "method.eta=0.25"]
    assert valid("quickstart", shaping) is None
    whole = load_recipe("quickstart", [*shaping, *models])
    assert load_for_runs("quickstart", [*shaping, *models]) == (whole, "")


@pytest.mark.parametrize(
    ("override", "given_to_run"),
    [
        ("method.eta=0.1", "method.eta=0.1"),
        ("method.eta=1e-1", "method.eta=0.1"),
        (" method.eta = 0.1 ", "method.eta=0.1"),
        ("training.schedule=linear", "training.schedule=linear"),
        ("judging.drop_identical=no", "judging.drop_identical=false"),
        ("evaluation.tau=0", "evaluation.tau=0.0"),
        ("prompts.field='yes'", "'prompts.field=\"yes\"'"),
        ("prompts.field=a b", "'prompts.field=\"a b\"'"),
        ("prompts.field=$x", "'prompts.field=\"\\u0024x\"'"),
    ],
)
def test_settings_are_written_as_a_person_would(override: str, given_to_run: str) -> None:
    assert load_for_runs("quickstart", [override])[1] == given_to_run
