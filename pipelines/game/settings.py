"""Solvers and the game's τ from the options `--method`, `--set` and `--tau`."""

from collections.abc import Sequence
from typing import Any

from nashflow.components.core.errors import UserError
from nashflow.components.core.yaml_files import load_yaml
from nashflow.components.games.solvers import make_solver
from nashflow.components.games.solvers.base import Solver

_USUAL_TAU = 0.1


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


def make_solvers(methods: Sequence[str], values: dict[str, Any]) -> list[Solver]:
    """A solver for each method, with the values of `METHOD.KEY`.

    Raises:
        UserError: no method, one twice or unknown, or a value that no method reads.
    """
    if not methods:
        raise UserError("--method: give one or more, such as --method inpo --method egpo")
    if doubled := {name for name in methods if methods.count(name) > 1}:
        raise UserError(f"--method {doubled.pop()}: given twice")
    settings: dict[str, dict[str, Any]] = {name: {} for name in methods}
    for key, value in values.items():
        method, _, setting = key.partition(".")
        if method not in settings or not setting:
            raise UserError(f"--set {key}: give method.key with one of {', '.join(methods)}, or tau")
        settings[method][setting] = value
    return [make_solver(name, settings[name]) for name in methods]


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
