"""`nashflow recipes` and `nashflow methods`: a line each, which the other commands take."""

from nashflow.components.methods.phases import REFERENCE
from nashflow.pipelines.recipe import SHIPPED, load_recipe
from nashflow.pipelines.reference.listing import methods, recipes
from tests.fixtures import cli


def test_every_shipped_recipe_is_listed_with_what_it_is() -> None:
    listed = recipes()
    assert listed.keys() == {path.stem for path in SHIPPED.glob("*.yaml")}
    assert listed["quickstart"].startswith("INPO on the sandbox world, with iid pairs")
    assert listed["sandbox-nash-mp"] == "Nash-MP with λ = 1/2"
    for text in listed.values():
        assert len(text) > 10
        assert "yaml-language-server" not in text


def test_every_method_is_listed_with_its_paper() -> None:
    listed = methods()
    assert len(listed) == 11
    assert listed["inpo"] == "INPO: iterative Nash policy optimization (arXiv 2407.00617, eq. 8)"
    for name in listed:
        assert load_recipe(f"sandbox-{name.replace('_', '-')}").method.name == name
    assert all("arXiv" in text for text in listed.values())


def test_every_method_has_a_recipe_for_a_language_model() -> None:
    models = [load_recipe(path.stem) for path in SHIPPED.glob("*llama3-8b*.yaml")]
    assert {recipe.method.name for recipe in models} == methods().keys()
    for recipe in models:
        if recipe.method.name == "iterative_dpo":
            (phase,) = recipe.method.phases(3)
            assert (dict(phase.anchors), phase.label_smoothing) == ({REFERENCE: 1.0}, 0.0)


def test_the_commands_print_a_line_each() -> None:
    names = [line.split()[0] for line in cli.here("recipes").stdout.splitlines()]
    assert names == list(recipes())
    assert load_recipe(names[0]).run.name == names[0]
    lines = cli.here("methods", COLUMNS="40").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(methods())
