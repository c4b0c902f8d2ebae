"""Replacement of a recipe's section by another variant: which settings are kept, and which are dropped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic
from pydantic import BaseModel
from pydantic_core import to_json

from .settings import Quantity
from .variants import Variants


class Kept(NamedTuple):
    """A setting that the old variant and the new one share."""

    name: str
    """The new variant's name for it."""
    value: Any
    origin: str
    """Where the value comes from, unless it is the same setting: `inpo's tau`."""


@dataclass(frozen=True)
class Replacement:
    """The result of replacing a section."""

    key: str
    """Its dotted key."""
    before: str
    after: str
    model: type[BaseModel]
    """The new variant."""
    section: Mapping[str, Any]
    """The section itself, which later settings may change."""
    kept: Sequence[Kept]
    dropped: Mapping[str, Any]

    def line(self) -> str:
        """One line that lists the settings that were kept, dropped or set to defaults; empty if there are none."""
        unset = {name: field for name, field in self.model.model_fields.items() if name not in self.section}
        needed = [name for name, field in unset.items() if field.is_required()]
        defaults = {
            name: field.get_default(call_default_factory=True) for name, field in unset.items() if not field.exclude_if
        }
        parts = {
            "kept": [
                _assigned(name, value) + (f" ({origin})" if origin else "")
                for name, value, origin in self.kept
                if self.section.get(name) == value
            ],
            "dropped": [_assigned(name, value) for name, value in self.dropped.items()],
            "defaults": [_assigned(name, value) for name, value in defaults.items() if name not in needed],
            "still to be set": needed,
        }
        said = [f"{what}: {', '.join(each)}" for what, each in parts.items() if each]
        return f"{self.key}: {self.after} in place of {self.before}; {'; '.join(said)}" if said else ""


def replace(section: dict[str, Any], key: str, chosen: Variants[Any], before: str) -> Replacement:
    """Turn the settings of the variant `before` into those of the one that `section` names already.

    A setting is kept under its name where both know it and the new one takes its value, and a quantity under the name
    and in the form that the new one has for it. What neither knows stays, to be refused.
    """
    after = section[chosen.by]
    old, new = chosen.members[before], chosen.members[after]
    given = {name: section.pop(name) for name in list(section) if name in old.model_fields and name != chosen.by}
    shared = {name: kept for name, value in given.items() if (kept := _kept(before, old, name, value, new))}
    refused = _refused(new, {chosen.by: after, **{name: value for name, value, _ in shared.values()}})
    shared = {name: kept for name, kept in shared.items() if kept.name not in refused}
    section.update({kept.name: kept.value for kept in shared.values()})
    dropped = {name: value for name, value in given.items() if name not in shared}
    return Replacement(key, before, after, new, section, list(shared.values()), dropped)


def _kept(before: str, old: type[BaseModel], name: str, value: Any, new: type[BaseModel]) -> Kept | None:
    """A setting of the old variant as one of the new, if it has such."""
    if not (quantity := _quantity(old, name)):
        return Kept(name, value, "") if name in new.model_fields and not _quantity(new, name) else None
    for other in new.model_fields:
        if (found := _quantity(new, other)) and found.name == quantity.name:
            if found.inverse != quantity.inverse and isinstance(value, int | float) and value:
                return Kept(other, float(f"{1 / value:.12g}"), f"1 / {before}'s {name}")
            return Kept(other, value, "" if other == name else f"{before}'s {name}")
    return None


def _quantity(model: type[BaseModel], name: str) -> Quantity | None:
    return next((mark for mark in model.model_fields[name].metadata if isinstance(mark, Quantity)), None)


def _refused(model: type[BaseModel], section: Mapping[str, Any]) -> set[Any]:
    """The settings whose values a variant does not take."""
    try:
        model.model_validate(section)
    except pydantic.ValidationError as error:
        return {mistake["loc"][0] for mistake in error.errors(include_url=False) if mistake["loc"]}
    return set()


def _assigned(name: str, value: Any) -> str:
    return f"{name} = {to_json(value).decode()}"
