"""Solvers and the game's τ from the options `--method`, `--set` and `--tau`."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nashflow.components.core.errors import UserError
from nashflow.components.core.yaml_files import load_yaml
from nashflow.components.games.solvers import make_solver
from nashflow.components.games.solvers.base import Solver

_USUAL_TAU = 0.1


class Contender(NamedTuple):
    """A method with the constants of a grid that it has here."""

    method: str
    constants: Mapping[str, Any]
    solver: Solver

    def __str__(self) -> str:
        return " ".join([self.method, *(f"{name}={value}" for name, value in self.constants.items())])


def read_sets(sets: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` by key, the values read as YAML.

    Raises:
        UserError: one has no key, or its value is not YAML.
    """
    values = {}
    for item in sets:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set {item}: give key=value, such as eta=0.5")
        try:
            values[key.strip()] = load_yaml(text)
        except ValueError as error:
            raise UserError(f"--set {item}: {text!r} is not a YAML value: {error}") from None
    return values


def read_grid(options: Sequence[str]) -> dict[str, list[Any]]:
    """The values, separated by commas, of each `METHOD.KEY`.

    Raises:
        UserError: as `read_sets`, or a key is given twice.
    """
    grid: dict[str, list[Any]] = {}
    for option in options:
        key, equals, values = option.partition("=")
        if key in grid:
            raise UserError(f"--grid {key}: given twice")
        if not equals:
            raise UserError(f"--grid {option}: give method.key=values, such as inpo.eta=0.5,1,2")
        grid[key] = [read_sets([f"{key}={value}"])[key] for value in values.split(",")]
    return grid


def make_contenders(
    methods: Sequence[str], values: Mapping[str, Any], grid: Mapping[str, Sequence[Any]]
) -> list[Contender]:
    """Each method with the values of its `METHOD.KEY`, once for every combination of those in the grid.

    Raises:
        UserError: no method, one twice or unknown, or a value that no method reads.
    """
    if not methods:
        raise UserError("--method: give one or more, such as --method inpo --method egpo")
    if doubled := {name for name in methods if methods.count(name) > 1}:
        raise UserError(f"--method {doubled.pop()}: given twice")
    if twice := values.keys() & grid.keys():
        raise UserError(f"--grid {twice.pop()}: given by --set too; leave one of the two out")
    fixed, varied = _by_method("--set", values, methods), _by_method("--grid", grid, methods)
    return [
        Contender(name, constants, make_solver(name, {**fixed[name], **constants}))
        for name in methods
        for constants in _combinations(varied[name])
    ]


def _by_method(option: str, values: Mapping[str, Any], methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = {name: {} for name in methods}
    for key, value in values.items():
        method, _, setting = key.partition(".")
        if method not in settings or not setting:
            usual = ", or tau" if option == "--set" else ""
            raise UserError(f"{option} {key}: give method.key with one of {', '.join(methods)}{usual}")
        settings[method][setting] = value
    return settings


def _combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def choose_tau(option: float | None, values: dict[str, Any]) -> float | None:
    """The game's τ from `--tau` or `--set tau=…`, which is taken out of `values`; None if neither was given.

    Raises:
        UserError: both were given, or it is no number.
    """
    if "tau" not in values:
        return option
    value = values.pop("tau")
    if option is not None:
        raise UserError("tau is given twice: give --tau or --set tau=, not both")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(f"--set tau={value}: not a number") from None


def usual_tau(solvers: Sequence[Solver]) -> float:
    """The τ of a game of which nothing is said: 0 where no method reads it."""
    return _USUAL_TAU if any(solver.regularised for solver in solvers) else 0.0
