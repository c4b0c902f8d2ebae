"""Variants of a part: settings classes that act, told apart by the value of one field, ours and third parties'.

    AnyOracle = Annotated[OracleSettings, Variants("nashflow.oracles", OracleSettings, SandboxOracle, RewardModel)]

A package joins by an entry point of the group, whose object is a subclass of the base with a kind of its own:

    [project.entry-points."nashflow.oracles"]
    my_judge = "my_package.judges:MyJudge"
"""

import functools
import importlib.metadata
import inspect
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from .errors import UserError

VariantT = TypeVar("VariantT", bound=BaseModel)


class Variants(Generic[VariantT]):
    """The annotation of a field that takes any variant of a part."""

    def __init__(self, group: str, base: type[Any], *shipped: type[VariantT], by: str = "kind") -> None:
        """`by` is the field that tells the variants apart."""
        self.by, self._group, self._base, self._shipped = by, group, base, shipped

    @functools.cached_property
    def members(self) -> Mapping[str, type[VariantT]]:
        """The variants by kind. Read when first asked for: third parties import what our modules are still defining.

        Raises:
            UserError: what an entry point of the group names cannot join: names it, its package and the reason.
        """
        members = {_tag(member, self.by): member for member in self._shipped}
        for entry in importlib.metadata.entry_points(group=self._group):
            member = _loaded(entry, self._base, self.by)
            if (kind := _tag(member, self.by)) in members:
                raise UserError(f"{_named(entry)}: {self.by} {kind!r} is taken by {members[kind].__qualname__}: rename")
            members[kind] = member
        return members

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The union of the members, or the bare name of one."""
        choices = {kind: handler.generate_schema(member) for kind, member in self.members.items()}
        union = core_schema.tagged_union_schema(choices, discriminator=self.by)
        return core_schema.no_info_before_validator_function(self._long, union)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The JSON schema for editors: a variant with its settings, or the bare name of one without required
        settings."""
        bare = [kind for kind, member in self.members.items() if not _needs_more(member, self.by)]
        return {"anyOf": [handler(schema), {"enum": bare}]} if bare else handler(schema)

    def _long(self, value: Any) -> Any:
        return {self.by: value} if isinstance(value, str) else value


def _loaded(entry: importlib.metadata.EntryPoint, base: type[Any], by: str) -> type[Any]:
    try:
        member = entry.load()
    except Exception as error:
        raise UserError(f"{_named(entry)}: cannot be imported: {error}") from error
    if not (isinstance(member, type) and issubclass(member, base)):
        raise UserError(f"{_named(entry)}: {entry.value} is no subclass of {base.__module__}.{base.__qualname__}")
    if inspect.isabstract(member):
        lacking = sorted(getattr(member, "__abstractmethods__", ()))
        asks = next(each.__qualname__ for each in member.__mro__ if lacking[0] in vars(each))
        raise UserError(f"{_named(entry)}: {member.__qualname__} lacks {', '.join(lacking)}, which {asks} asks for")
    if not _tag(member, by):
        raise UserError(f'{_named(entry)}: {member.__qualname__} has no name: set {by}: Literal["…"] = "…" in it')
    return member


def _tag(member: type[BaseModel], by: str) -> str:
    """The one value that the field `by` can have; empty if it can have any."""
    values = get_args(member.model_fields[by].annotation)
    return str(values[0]) if len(values) == 1 else ""


def _needs_more(member: type[BaseModel], by: str) -> bool:
    return any(field.is_required() for name, field in member.model_fields.items() if name != by)


def _named(entry: importlib.metadata.EntryPoint) -> str:
    package = entry.dist.name if entry.dist else "a package"
    return f"entry point {entry.group}: {entry.name} of {package}"
