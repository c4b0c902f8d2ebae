"""The runs of a sweep: one for each combination of the values of a grid."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nashflow.components.core.digests import digest_json
from nashflow.components.core.errors import UserError
from nashflow.components.reports.reported import measured_with

from ..recipe import Recipe, load_recipe

_LONGEST_FOLDER = 100


@dataclass(frozen=True)
class Member:
    """A run of a sweep."""

    values: dict[str, str]
    """The value of each key of the grid, as it was given."""
    recipe: Recipe
    run_root: str

    @property
    def sets(self) -> list[str]:
        """The values, as `--set` takes them."""
        return settings(self.values)


def settings(values: Mapping[str, str]) -> list[str]:
    """Values of a grid, such as `method.eta=0.1`, as `--set` takes them."""
    return [f"{key}={value}" for key, value in values.items()]


def named(values: Mapping[str, str]) -> str:
    """What tells a run of a grid from the others."""
    return " ".join(settings(values))


def read_members(recipe: str, overrides: Sequence[str], grid: Sequence[str], root: str) -> list[Member]:
    """The runs of `--grid KEY=VALUE,VALUE,…` options, below `root`: all combinations, each a recipe that is right.

    Raises:
        UserError: no grid; one that is no list of different values; a key that is given twice, that the recipe lacks,
            or that decides how policies are measured, so that figures of the runs would not compare; a wrong value.
    """
    if not grid:
        raise UserError("--grid: give one or more, such as --grid method.eta=0.1,0.01")
    values: dict[str, list[str]] = {}
    for option in grid:
        key, equals, listed = option.partition("=")
        key, given = key.strip(), [value.strip() for value in listed.split(",")]
        if not equals or not key or "" in given:
            raise UserError(f"--grid {option}: give KEY=VALUE,VALUE, such as method.eta=0.1,0.01")
        if key in values:
            raise UserError(f"--grid {key}: given twice: give all its values at once, separated by commas")
        if repeated := {value for value in given if given.count(value) > 1}:
            raise UserError(f"--grid {key}: the value {min(repeated)} is there twice: leave one of them out")
        if measured_with(key):
            raise UserError(
                f"--grid {key}: decides how policies are measured, so that the runs' figures would not compare: vary "
                "a setting of the method or of training, and set this one by --set"
            )
        values[key] = given
    for setting in overrides:
        if (key := setting.partition("=")[0].strip()) in values:
            raise UserError(f"--grid {key}: given by --set too: leave one of the two out")
    combinations = (dict(zip(values, each, strict=True)) for each in itertools.product(*values.values()))
    return [_member(recipe, overrides, each, root) for each in combinations]


def _member(recipe: str, overrides: Sequence[str], values: dict[str, str], root: str) -> Member:
    loaded = load_recipe(recipe, [*overrides, *settings(values)])
    return Member(values, loaded, f"{root.rstrip('/')}/{_folder(values)}")


def _folder(values: Mapping[str, str]) -> str:
    """The values, as far as paths allow them; with a digest where they do not."""
    label = ",".join(settings(values))
    safe = re.sub(r"[^\w.=,+-]+", "_", label, flags=re.ASCII)[:_LONGEST_FOLDER]
    return safe if safe == label else f"{safe}-{digest_json(dict(values))[:8]}"
