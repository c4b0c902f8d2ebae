"""The base of every settings model, and the one line that a wrong value gets."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

import pydantic
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
)
from pydantic.fields import FieldInfo

from .digests import digest_json
from .errors import UserError
from .variants import Variants


class Settings(BaseModel):
    """Settings of one part: unknown keys are refused, values never change after validation."""

    # Variants are read when a model is first used: third parties import what our modules are still defining.
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, defer_build=True
    )

    @classmethod
    def parse(cls, data: Any, where: str) -> Self:
        """Validate `data` (a JSON value) or raise UserError: every mistake, on one line, with the nearest known key."""
        try:
            return cls.model_validate(data)
        except pydantic.ValidationError as error:
            lines = [_explain(cls, mistake) for mistake in error.errors(include_url=False)]
            raise UserError(f"{where}: " + "; ".join(dict.fromkeys(lines))) from None


class Variant(Settings):
    """One of several kinds of a part; each has a field `kind: Literal["its name"] = "its name"`.

    A kind without further settings may be written as its bare name: `vllm` for `{kind: vllm}`.
    """

    kind: str

    def digest(self) -> str:
        """Identity of what the settings name, such as files: equal digests, equal contents. Empty if they name none."""
        return ""

    @property
    def label(self) -> str:
        """A name for folders: the kind, with a digest of all that the settings say and name, if they say any more."""
        said = [self.model_dump(mode="json"), self.digest()]
        return self.kind if said == [self.kind, ""] else f"{self.kind}-{digest_json(said)[:16]}"

    @model_serializer(mode="wrap")
    def _short(self, dump: SerializerFunctionWrapHandler) -> Any:
        data = dump(self)
        return data["kind"] if len(data) == 1 else data


def named_by(**variants: Variant) -> dict[str, str]:
    """The digests of what variants name, by the keys given; those that name nothing are left out."""
    digests = {name: variant.digest() for name, variant in variants.items()}
    return {name: digest for name, digest in digests.items() if digest}


WHOLE = ConfigDict(extra="forbid")
"""Unknown keys are refused."""


class Part(Settings):
    """The settings that one step reads from a recipe, or from one of its sections; other keys are ignored.

    A whole section that extends such a part sets `model_config = WHOLE`.
    """

    model_config = ConfigDict(extra="ignore")


SHAPES_GRAPH = object()
"""Marks a field that shapes the compiled graph, in its annotation: `Annotated[int, SHAPES_GRAPH]`."""


class Quantity(NamedTuple):
    """Marks the meaning of a constant, independent of its name in a paper: `Annotated[float, Quantity("step",
    inverse=True)]`.

    A recipe that changes to another variant keeps its quantities, under the names and in the form of that variant.
    """

    name: str
    inverse: bool = False
    """Whether the field holds one over the quantity."""


def variants_of(field: FieldInfo) -> Variants[BaseModel] | None:
    """The variants that a field takes, if it takes such."""
    return next((each for each in field.metadata if isinstance(each, Variants)), None)


def graph_shaping(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted keys of the fields that shape the graph: marked ones, and those that tell variants apart."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        if SHAPES_GRAPH in field.metadata or (len(get_args(field.annotation)) == 1 and _is_literal(field.annotation)):
            yield key
        else:
            for inner in models_of(field):
                yield from graph_shaping(inner, f"{key}.")


def _explain(model: type[BaseModel], mistake: Any) -> str:
    location = [str(part) for part in mistake["loc"] if part != "[key]"]  # pydantic's word for a mapping's own key
    keys, _ = _walk(model, location)
    key, context = ".".join(keys), mistake.get("ctx", {})
    field = str(context.get("discriminator", "")).strip("'")
    match mistake["type"]:
        case "extra_forbidden":
            known = {name for there in _walk(model, location[:-1])[1] for name in there.model_fields}
            return f"{key}: unknown key" + nearest(location[-1], known, key)
        case "union_tag_invalid":
            tags = [tag.strip("' ") for tag in context["expected_tags"].split(",")]
            return f"{key}.{field}: {context['tag']!r} is unknown" + nearest(context["tag"], tags)
        case "union_tag_not_found":
            return f"{key}.{field}: required, but missing"
        case "missing":
            return f"{key}: required, but missing"
        case "value_error":
            reason = str(context["error"])
        case "model_type" | "model_attributes_type":
            reason = f"keys and values are wanted here, not {mistake['input']!r}"
        case _:
            reason = f"{mistake['msg']}, not {mistake['input']!r}"
    return f"{key}: {reason}" if key else reason


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """A hint naming the known words that have `word` as a part, or else the closest one, or else all of them."""
    known, lower = sorted(known), word.lower()
    parent = prefix.rpartition(".")[0]
    qualified = {name: f"{parent}.{name}" if parent else name for name in known}
    parts = [name for name in known if lower in name.split("_")]
    if close := parts or difflib.get_close_matches(lower, known, n=1, cutoff=0.6):
        return f"; did you mean {' or '.join(qualified[name] for name in close)}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _walk(model: type[BaseModel], location: list[str]) -> tuple[list[str], list[type[BaseModel]]]:
    """The keys of a location, and the models that lie there.

    pydantic puts the tag of a discriminated union into the location, which is no key of the file.
    """
    keys, current = [], [model]
    for part in location:
        if len(current) > 1 and (tagged := [member for member in current if _tag_of(member, part)]):
            current = tagged
            continue
        keys.append(part)
        if holders := [member for member in current if part in member.model_fields]:  # else an index or a mapping's key
            current = [child for member in holders for child in models_of(member.model_fields[part])]
    return keys, current


def _tag_of(model: type[BaseModel], tag: str) -> bool:
    """Whether one of the model's fields, the discriminator, can have the value `tag` alone."""
    literals = (get_args(f.annotation) for f in model.model_fields.values() if _is_literal(f.annotation))
    return (tag,) in literals


def _is_literal(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is Literal


def models_of(field: FieldInfo) -> Iterator[type[BaseModel]]:
    """The settings models that a field admits."""
    return _models_in((field.annotation, *field.metadata))


def _models_in(hints: Iterable[Any]) -> Iterator[type[BaseModel]]:
    """The models in an annotation and its metadata, which may tell variants of the annotated class."""
    hints = list(hints)
    if variants := [hint for hint in hints if isinstance(hint, Variants)]:
        yield from (member for each in variants for member in each.members.values())
        return
    for hint in hints:
        if isinstance(hint, type) and issubclass(hint, BaseModel):
            yield hint
        yield from _models_in(get_args(hint))


def _read_schedule(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except pydantic.ValidationError:
        raise ValueError(f"{value!r} is neither a number above 0 nor 'decreasing'") from None


Schedule = Annotated[Annotated[float, Field(gt=0.0)] | Literal["decreasing"], WrapValidator(_read_schedule)]
"""A fixed η, or steps that shrink as a method's theorem has it."""
