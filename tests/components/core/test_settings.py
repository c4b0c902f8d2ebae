"""Settings: what is accepted, and the one line that everything else gets."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import SHAPES_GRAPH, WHOLE, Part, Settings, graph_shaping, nearest


class Training(Settings):
    learning_rate: float = 1e-3
    """Step size of the optimiser."""
    epochs: int = Field(1, ge=1)
    schedule: Literal["cosine", "constant"] = "cosine"


class Circle(Settings):
    kind: Literal["circle"] = "circle"
    radius: float


class Square(Settings):
    kind: Literal["square"] = "square"
    side: float
    labels: Literal["circle", "none"] = "none"


Shape = Annotated[Circle | Square, Field(discriminator="kind")]


class Recipe(Settings):
    name: str = "run"
    training: Training = Training()
    shape: Shape = Circle(radius=1.0)
    shapes: tuple[Shape, ...] = ()
    stages: tuple[Training, ...] = ()
    named: dict[str, Training] = Field({})
    extra: Training | None = None
    folder: Path = Path("here")


def refused(data: Any) -> str:
    with pytest.raises(UserError) as caught:
        Recipe.parse(data, "recipe.yaml")
    return str(caught.value)


LINES = [
    ({"trainin": {}}, "trainin: unknown key; did you mean training?"),
    ({"training": {"learnin_rate": 1}}, "training.learnin_rate: unknown key; did you mean training.learning_rate?"),
    ({"training": {"zzz": 1}}, "training.zzz: unknown key; known here: epochs, learning_rate, schedule"),
    ({"extra": {"epoch": 1}}, "extra.epoch: unknown key; did you mean extra.epochs?"),
    ({"stages": [{}, {"epoch": 1}]}, "stages.1.epoch: unknown key; did you mean stages.1.epochs?"),
    ({"named": {"late": {"epoch": 1}}}, "named.late.epoch: unknown key; did you mean named.late.epochs?"),
    ({"shape": {"kind": "circle", "radios": 1, "radius": 1}}, "shape.radios: unknown key; did you mean shape.radius?"),
    # a key of the other member of the union is no key here
    ({"shape": {"kind": "circle", "radius": 1, "labels": 1}}, "shape.labels: unknown key; known here: kind, radius"),
    (
        {"shapes": [{"kind": "square", "side": 1, "size": 1}]},
        "shapes.0.size: unknown key; did you mean shapes.0.side?",
    ),
    ({"shape": {"kind": "sqare", "side": 1}}, "shape.kind: 'sqare' is unknown; did you mean square?"),
    ({"shape": {"kind": "line"}}, "shape.kind: 'line' is unknown; known here: circle, square"),
    ({"shape": {"side": 1}}, "shape.kind: required, but missing"),
    ({"shape": {"kind": "square"}}, "shape.side: required, but missing"),
    # `circle` is the tag of one member and a value of the other's field: the location is not cut short by it
    (
        {"shape": {"kind": "square", "side": 1, "labels": 3}},
        "shape.labels: Input should be 'circle' or 'none', not 3",
    ),
    ({"training": {"epochs": 0}}, "training.epochs: Input should be greater than or equal to 1, not 0"),
    (
        {"training": {"epochs": 2.5}},
        "training.epochs: Input should be a valid integer, got a number with a fractional part, not 2.5",
    ),
    ({"training": {"learning_rate": "nan"}}, "training.learning_rate: Input should be a finite number, not 'nan'"),
    (
        {"training": {"schedule": "cosin"}},
        "training.schedule: Input should be 'cosine' or 'constant', not 'cosin'",
    ),
    ({"training": None}, "training: keys and values are wanted here, not None"),
    ({"shape": "circle"}, "shape: keys and values are wanted here, not 'circle'"),
    ([1], "keys and values are wanted here, not [1]"),
    (None, "keys and values are wanted here, not None"),
    ({"name": "a\nb", "folder": 1}, "folder: Input is not a valid path for <class 'pathlib.Path'>, not 1"),
    ({"name": ["a\nb"]}, r"name: Input should be a valid string, not ['a\nb']"),
    (
        {"trainin": 1, "training": {"epochs": 0}},
        "training.epochs: Input should be greater than or equal to 1, not 0; "
        "trainin: unknown key; did you mean training?",
    ),
]


@pytest.mark.parametrize(("data", "line"), LINES, ids=[line.split(":")[0] for _, line in LINES])
def test_a_mistake_gets_one_line_that_says_where(data: Any, line: str) -> None:
    assert refused(data) == f"recipe.yaml: {line}"


@given(st.sampled_from(["learning_rate", "epochs", "schedule"]), st.data())
def test_a_key_with_one_slip_is_recognised(key: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key) - 1))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz_"))
    slip = data.draw(st.sampled_from(["", letter, letter + key[place]]))
    typo = key[:place] + slip + key[place + 1 :]
    assume(typo != key)
    line = f"recipe.yaml: training.{typo}: unknown key; did you mean training.{key}?"
    assert refused({"training": {typo: 1}}) == line


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from([*Recipe.model_fields, "kind", "side", "epochs", "odd"]), inner, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_is_accepted_or_refused_on_one_line(data: Any) -> None:
    try:
        recipe = Recipe.parse(data, "recipe.yaml")
    except UserError as error:
        lines = str(error).splitlines()
    else:
        assert Recipe.parse(recipe.model_dump(mode="json"), "again") == recipe
        return
    assert len(lines) == 1
    assert lines[0].startswith("recipe.yaml: ")


def test_numbers_that_the_orchestrator_made_floats_become_integers_again() -> None:
    recipe = Recipe.parse({"training": {"epochs": 3.0, "learning_rate": 1}}, "--recipe")
    assert (recipe.training.epochs, recipe.training.learning_rate) == (3, 1.0)
    assert [type(recipe.training.epochs), type(recipe.training.learning_rate)] == [int, float]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Training().epochs = 2  # type: ignore[misc]


def test_the_text_under_a_field_is_its_help() -> None:
    assert Training.model_fields["learning_rate"].description == "Step size of the optimiser."


def test_nearest_words() -> None:
    assert nearest("inpoo", ["inpo", "onpo", "dno"]) == "; did you mean inpo?"
    assert nearest("quick", ["inpo", "dno"]) == "; known here: dno, inpo"
    assert nearest("quick", []) == ""


# --- parts: what a step reads of a recipe ----------------------------------------------------------------------------


class Rate(Part):
    learning_rate: float


class Step(Part):
    training: Rate
    shape: Shape
    stages: tuple[Training, ...]
    extra: Rate | None


class WholeRate(Rate):
    model_config = WHOLE

    momentum: float = 0.9


numbers = st.floats(-1e9, 1e9)
trainings = st.builds(
    Training, learning_rate=numbers, epochs=st.integers(1, 9), schedule=st.sampled_from(["cosine", "constant"])
)
shapes = st.builds(Circle, radius=numbers) | st.builds(Square, side=numbers)


@given(st.builds(Recipe, training=trainings, shape=shapes, stages=st.tuples(trainings), extra=st.none() | trainings))
def test_a_step_reads_its_part_of_the_whole(recipe: Recipe) -> None:
    step = Step.parse(recipe.model_dump(mode="json"), "--recipe")
    assert step.training == Rate(learning_rate=recipe.training.learning_rate)
    assert (step.shape, step.stages) == (recipe.shape, recipe.stages)
    assert (step.extra and step.extra.learning_rate) == (recipe.extra and recipe.extra.learning_rate)


PART = {"training": {"learning_rate": 1}, "shape": {"kind": "circle", "radius": 1}, "stages": [], "extra": None}
PARTS = [
    ({"shape": {"kind": "circle", "radius": 1, "radios": 1}}, "shape.radios: unknown key; did you mean shape.radius?"),
    ({"stages": [{"epoch": 1}]}, "stages.0.epoch: unknown key; did you mean stages.0.epochs?"),
    ({"training": {"learnin_rate": 1}}, "training.learning_rate: required, but missing"),
]


@pytest.mark.parametrize(("changes", "line"), PARTS)
def test_a_part_refuses_what_stands_in_sections_that_are_its_own(changes: dict[str, Any], line: str) -> None:
    assert Step.parse({**PART, "others": {}, "training": {"learning_rate": 1, "epochs": 2}}, "--recipe")
    with pytest.raises(UserError) as caught:
        Step.parse(PART | changes, "--recipe")
    assert str(caught.value) == f"--recipe: {line}"


def test_a_whole_that_extends_a_part_refuses_unknown_keys() -> None:
    assert WholeRate.parse({"learning_rate": 1, "momentum": 0}, "x").momentum == 0
    with pytest.raises(UserError, match=r"^x: momentun: unknown key; did you mean momentum\?$"):
        WholeRate.parse({"learning_rate": 1, "momentun": 0}, "x")


# --- what shapes the graph -------------------------------------------------------------------------------------------


class Shards(Settings):
    shards: Annotated[int, SHAPES_GRAPH] = Field(1, ge=1)
    path: str = ""


class Shaping(Settings):
    prompts: Shards = Shards()
    many: tuple[Shards, ...] = ()
    shape: Shape = Circle(radius=1.0)
    cluster: Annotated[dict[str, Any], SHAPES_GRAPH] = Field(default_factory=dict)
    maybe: Shards | None = None
    schedule: Literal["cosine", "constant"] = "cosine"


def test_marked_fields_and_those_that_tell_variants_apart_shape_the_graph() -> None:
    assert sorted(set(graph_shaping(Shaping))) == [
        "cluster",
        "many.shards",
        "maybe.shards",
        "prompts.shards",
        "shape.kind",
    ]
