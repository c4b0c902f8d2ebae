"""How a solver gets on in a game: until it is near enough, or along a grid of updates."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from .preference import Array, Game, duality_gap
from .solvers.base import Solver

_POINTS_PER_DECADE = 100


@dataclass(frozen=True)
class Solution:
    """A policy (..., n), its duality gap (...) in the game that was asked about, and the iterations that made it."""

    log_policy: Array
    gap: Array
    iterations: int


@dataclass(frozen=True)
class Curve:
    """Duality gaps (points, ...) after each number of `updates` (points,); 0 updates is the reference policy."""

    updates: NDArray[np.int64]
    gaps: Array

    def first_passage(self, threshold: float) -> Array:
        """Updates (...) until the gap was below the threshold first, on the curve's grid; infinite if it never was."""
        below = self.gaps < threshold
        return np.where(below.any(axis=0), self.updates[below.argmax(axis=0)], np.inf)


@np.errstate(over="ignore", invalid="ignore")
def solve(solver: Solver, game: Game, iterations: int, tolerance: float, average: bool = False) -> Solution:
    """Iterate until no gap is above the tolerance, at most `iterations` times.

    The policy is the last iterate, or the uniform average of all policies so far, the reference among them.

    Raises:
        UserError: the settings do not fit the game, or the iterates diverge.
    """
    policies = _with_reference(solver, game)
    for done, policy in enumerate(islice(_averages(policies) if average else policies, iterations + 1)):
        gap = _gap(solver, game, policy, done)
        if (gap <= tolerance).all():
            break
    return Solution(policy, gap, done)


@np.errstate(over="ignore", invalid="ignore")
def trace(solver: Solver, game: Game, updates: int) -> Curve:
    """The gaps of the iterates after 0, 1, … updates, about 100 points a decade, and at the end.

    Raises:
        UserError: the settings do not fit the game, or the iterates diverge.
    """
    grid = _grid(updates)
    wanted = set(grid.tolist())
    policies = enumerate(islice(_with_reference(solver, game), updates + 1))
    return Curve(grid, np.stack([_gap(solver, game, policy, done) for done, policy in policies if done in wanted]))


def _with_reference(solver: Solver, game: Game) -> Iterator[Array]:
    iterates = solver.iterates(game)
    done = 0
    try:
        first = next(iterates)  # before anything is shown: settings that do not fit are refused whatever the reference
        yield np.broadcast_to(game.log_reference, game.matrix.shape[:-1])
        for log_policy in chain([first], iterates):
            yield log_policy
            done += 1
    except (RuntimeError, np.linalg.LinAlgError) as error:
        raise UserError(
            f"{solver.name}: iteration {done + 1} is beyond float64 ({error}); set --iterations to at most {done}"
        ) from None


def _averages(log_policies: Iterator[Array]) -> Iterator[Array]:
    total = next(log_policies)
    yield total
    for count, log_policy in enumerate(log_policies, start=2):
        total = np.logaddexp(total, log_policy)
        yield total - np.log(count)


def _gap(solver: Solver, game: Game, log_policy: Array, done: int) -> Array:
    gap = duality_gap(game, log_policy)
    if not np.isfinite(gap).all():
        raise UserError(
            f"{solver.name}: the iterates have left the range of float64 by update {done}; make its steps smaller"
        )
    return gap


def _grid(updates: int) -> NDArray[np.int64]:
    decades = np.log10(max(updates, 1))
    points = np.logspace(0, decades, 1 + int(decades * _POINTS_PER_DECADE))
    return np.unique(np.concatenate([[0], points.round(), [updates]])).astype(np.int64)
