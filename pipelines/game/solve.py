"""`nashflow game solve`: one method on one matrix."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nashflow.components.core.errors import UserError
from nashflow.components.games.equilibrium import least_eta, nash_policy, rotation
from nashflow.components.games.files import read_log_policy, read_matrix
from nashflow.components.games.preference import Array, Game, kl_divergence, win_rates
from nashflow.components.games.progress import Solution, solve
from nashflow.components.games.solvers import make_solver

from ..plain_table import print_table
from ..terminal import terminal
from .settings import choose_tau, read_sets, usual_tau

_SEARCH = 20_000
"""Iterations in which the equilibrium is found, or else nothing is said of the game's rotation."""


def solve_matrix(
    matrix: Path,
    method: str,
    reference: Path | None,
    tau: float | None,
    sets: Sequence[str],
    iterations: int,
    tolerance: float,
    average: bool,
    as_json: bool,
) -> None:
    """Play a method and print the policy that it reaches, with its duality gap and its KL to the reference in nats, and
    from which η on INPO's iterates approach the game's equilibrium.

    Raises:
        UserError: a file, the method, one of its constants or the game's τ is wrong.
    """
    if iterations < 1:
        raise UserError(f"--iterations {iterations}: set at least 1")
    if not tolerance >= 0:
        raise UserError(f"--tolerance {tolerance}: set 0 or more")
    values = read_sets(sets)
    tau = choose_tau(tau, values)
    solver = make_solver(method, values)
    game = read_game(matrix, reference, usual_tau([solver]) if tau is None else tau)
    solution = solve(solver, game, iterations, tolerance, average)
    if as_json:
        print(json.dumps(_record(method, game, solution)))
    else:
        shown = "average of all policies" if average else "last iterate"
        _show(f"{method} on {matrix.name}: tau {game.tau:g}, {shown}", game, solution, tolerance)


def read_game(matrix: Path, reference: Path | None, tau: float) -> Game:
    """The game of a matrix file and a reference file; without one the reference is uniform.

    Raises:
        UserError: a file is wrong, they do not fit each other, or τ is negative.
    """
    numbers = read_matrix(matrix)
    log_reference = read_log_policy(reference) if reference else np.full(len(numbers), -np.log(len(numbers)))
    return Game(numbers, log_reference, tau)


def _record(method: str, game: Game, solution: Solution) -> dict[str, object]:
    turning = _rotation(game)
    return {
        "method": method,
        "policy": np.exp(solution.log_policy).tolist(),
        "duality_gap": float(solution.gap),
        "kl": _kl(game, solution),
        "iterations": solution.iterations,
        "rotation": turning,
        "least_eta": None if turning is None else float(least_eta(game, np.array(turning))),
    }


def _show(title: str, game: Game, solution: Solution, tolerance: float) -> None:
    console = terminal()
    columns: dict[str, Array] = {
        "reference": np.exp(game.log_reference),
        "policy": np.exp(solution.log_policy),
        "P(y beats policy)": win_rates(game.matrix, solution.log_policy),
    }
    rows = [[str(i), *(f"{value:.6f}" for value in row)] for i, row in enumerate(zip(*columns.values(), strict=True))]
    print_table(console, title, ["y", *columns], rows)
    reached = "" if solution.gap <= tolerance else f", above the tolerance of {tolerance:g}"
    console.print(f"\nduality gap {float(solution.gap):.3g} after {solution.iterations} iterations{reached}")
    console.print(f"KL to the reference {_kl(game, solution):.6g} nats")
    if (turning := _rotation(game)) is not None:
        least = float(least_eta(game, np.array(turning)))
        console.print(
            f"rotation {turning:.3g} around the equilibrium, which inpo's iterates approach where eta > {least:.3g}, "
            "the larger of tau and (tau^2 + rotation^2) / (2 tau)",
            soft_wrap=True,
        )


def _kl(game: Game, solution: Solution) -> float:
    return float(kl_divergence(solution.log_policy, game.log_reference))


def _rotation(game: Game) -> float | None:
    """The game's rotation ω; None without a KL term, or where the equilibrium takes too many iterations to find."""
    if game.tau == 0:
        return None
    try:
        return float(rotation(game, nash_policy(game, limit=_SEARCH)))
    except RuntimeError:
        return None
