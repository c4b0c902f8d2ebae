"""Variants of a part: told apart by one field, the bare name of one for all of it, dumped as it was written."""

from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import ValidationError

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import SHAPES_GRAPH, Part, Settings, Variant, graph_shaping, named_by
from nashflow.components.core.variants import Variants


class Shape(Variant):
    """What the fields of a test take."""


class Dot(Shape):
    kind: Literal["dot"] = "dot"


class Circle(Shape):
    kind: Literal["circle"] = "circle"
    radius: float = 1.0


class Square(Shape):
    kind: Literal["square"] = "square"
    side: float


class Named(Settings):
    name: Literal["cosine"] = "cosine"


class Falling(Settings):
    name: Literal["falling"] = "falling"
    rate: float = 0.5


SHAPES = Variants[Shape]("nashflow.nothing", Shape, Dot, Circle, Square)
AnyShape = Annotated[Shape, SHAPES]
AnySchedule = Annotated[Settings, Variants[Settings]("nashflow.nothing", Settings, Named, Falling, by="name")]
OnlyDot = Annotated[Shape, Variants[Shape]("nashflow.nothing", Shape, Dot)]


class Recipe(Settings):
    shape: AnyShape = Dot()
    shapes: tuple[AnyShape, ...] = ()
    schedule: AnySchedule = Named()
    only: OnlyDot = Dot()
    maybe: AnyShape | None = None


SPELLINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"shape": "dot"}, {"shape": "dot"}),
    ({"shape": {"kind": "dot"}}, {"shape": "dot"}),
    ({"shape": "circle"}, {"shape": {"kind": "circle", "radius": 1.0}}),
    ({"shape": {"kind": "circle", "radius": 2}}, {"shape": {"kind": "circle", "radius": 2.0}}),
    (
        {"shapes": ["circle", "dot", {"kind": "square", "side": 3}]},
        {"shapes": [{"kind": "circle", "radius": 1.0}, "dot", {"kind": "square", "side": 3.0}]},
    ),
    ({"schedule": "falling"}, {"schedule": {"name": "falling", "rate": 0.5}}),
    ({"only": "dot"}, {"only": "dot"}),
    ({"maybe": None}, {"maybe": None}),
    ({"maybe": "dot"}, {"maybe": "dot"}),
]


@pytest.mark.parametrize(("data", "dumped"), SPELLINGS)
def test_a_bare_name_stands_for_a_variant(data: dict[str, Any], dumped: dict[str, Any]) -> None:
    recipe = Recipe.parse(data, "x")
    assert recipe.model_dump(mode="json", include=set(dumped)) == dumped
    assert Recipe.parse(recipe.model_dump(mode="json"), "x") == recipe


def test_a_value_is_of_the_variants_class() -> None:
    recipe = Recipe.parse({"shape": "circle", "shapes": ["dot"], "schedule": {"name": "falling", "rate": 1}}, "x")
    assert (recipe.shape, recipe.shapes, recipe.schedule) == (Circle(radius=1.0), (Dot(),), Falling(rate=1.0))
    assert [type(each) for each in (recipe.shape, recipe.shapes[0], recipe.schedule)] == [Circle, Dot, Falling]


def test_a_variant_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe.parse({"shape": "circle"}, "x").shape.radius = 2.0  # type: ignore[attr-defined]


def test_the_variants_by_kind() -> None:
    assert dict(SHAPES.members) == {"dot": Dot, "circle": Circle, "square": Square}


LINES = [
    ({"shape": "dott"}, "shape.kind: 'dott' is unknown; did you mean dot?"),
    ({"shape": ""}, "shape.kind: '' is unknown; known here: circle, dot, square"),
    ({"shape": {"kind": "line"}}, "shape.kind: 'line' is unknown; known here: circle, dot, square"),
    ({"shape": {"radius": 1}}, "shape.kind: required, but missing"),
    ({"shape": "square"}, "shape.side: required, but missing"),
    ({"shape": {"kind": "circle", "radios": 1}}, "shape.radios: unknown key; did you mean shape.radius?"),
    ({"shape": {"kind": "dot", "radius": 1}}, "shape.radius: unknown key; known here: kind"),
    ({"shape": 1}, "shape: keys and values are wanted here, not 1"),
    ({"shapes": ["dot", "dott"]}, "shapes.1.kind: 'dott' is unknown; did you mean dot?"),
    (
        {"shapes": ["dot", {"kind": "square", "size": 1, "side": 1}]},
        "shapes.1.size: unknown key; did you mean shapes.1.side?",
    ),
    ({"schedule": "fallin"}, "schedule.name: 'fallin' is unknown; did you mean falling?"),
    ({"only": "circle"}, "only.kind: 'circle' is unknown; known here: dot"),
]


@pytest.mark.parametrize(("data", "line"), LINES)
def test_a_mistake_gets_one_line_that_says_where(data: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        Recipe.parse(data, "recipe.yaml")
    assert str(caught.value) == f"recipe.yaml: {line}"


class Step(Part):
    shape: AnyShape


def test_a_step_reads_a_variant_of_the_whole() -> None:
    for data in ({"shape": "dot"}, {"shape": {"kind": "square", "side": 2}}):
        recipe = Recipe.parse(data, "x")
        assert Step.parse(recipe.model_dump(mode="json"), "--recipe").shape == recipe.shape


class Shaping(Settings):
    free: AnyShape = Dot()
    marked: Annotated[AnyShape, SHAPES_GRAPH] = Dot()
    schedule: AnySchedule = Named()
    many: tuple[AnyShape, ...] = ()


def test_the_kind_shapes_the_graph_and_all_of_a_marked_field() -> None:
    assert sorted(set(graph_shaping(Shaping))) == ["free.kind", "many.kind", "marked", "schedule.name"]


@pytest.mark.parametrize(("data", "_"), SPELLINGS)
def test_the_schema_takes_every_spelling(data: dict[str, Any], _: Any) -> None:
    jsonschema.validate(data, Recipe.model_json_schema())


@pytest.mark.parametrize("data", [{"shape": "dott"}, {"shape": "square"}, {"shape": {"kind": "circle", "radios": 1}}])
def test_the_schema_refuses_what_the_settings_refuse(data: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, Recipe.model_json_schema())


def test_a_folder_is_named_after_all_that_a_variant_says_and_names() -> None:
    """Values of two variants that differ in anything are never kept in one folder."""

    class OfFile(Dot):
        def digest(self) -> str:
            return "of the file"

    labels = [Dot().label, Circle().label, Circle(radius=2.0).label, OfFile().label]
    assert labels[0] == "dot"
    assert len(set(labels)) == len(labels)
    assert all(label.startswith(("dot", "circle-")) for label in labels)


def test_what_variants_name_is_told_by_its_digest() -> None:
    class OfFile(Dot):
        def digest(self) -> str:
            return "of the file"

    assert named_by(engine=Dot(), benchmark=OfFile()) == {"benchmark": "of the file"}
