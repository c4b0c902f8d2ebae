"""`nashflow game compare`: several methods on one matrix or on a family of random games."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nashflow.components.core.atomic_file import replacing
from nashflow.components.core.errors import UserError
from nashflow.components.games.families import draw_games
from nashflow.components.games.preference import Game
from nashflow.components.games.progress import Curve, trace

from ..terminal import terminal
from .figure import draw_gaps
from .settings import choose_tau, make_solvers, read_sets, usual_tau
from .solve import read_game
from .table import print_table

THRESHOLD = 1e-6
"""A game whose gap is below this counts as solved."""

_CAPTION = (
    "gap: duality gap of the last iterate, 0 at the Nash equilibrium; solved: share of the games whose gap ends below "
    f"{THRESHOLD:g}; first passage: median over the games of the iterations until it first was, on a grid of about 100 "
    "points a decade"
)


class Source(NamedTuple):
    """Where the games come from: a matrix file, or a family of random games."""

    matrix: Path | None = None
    reference: Path | None = None
    family: str | None = None
    responses: int | None = None
    games: int | None = None
    seed: int | None = None

    def game(self, tau: float) -> Game:
        """The games, side by side along the first axis.

        Raises:
            UserError: neither or both are named, or what is named is wrong.
        """
        drawn = {"--family": self.family, "--responses": self.responses, "--games": self.games, "--seed": self.seed}
        if self.matrix:
            if given := [option for option, value in drawn.items() if value is not None]:
                raise UserError(f"{given[0]}: a matrix is given already; leave one of the two out")
            game = read_game(self.matrix, self.reference, tau)
            return Game(game.matrix[None], game.log_reference[None], tau)
        if not self.family:
            raise UserError("give a preference matrix, or --family for random games")
        if self.reference:
            raise UserError("--reference: random games draw their own; give a matrix with it")
        games, seed = 100 if self.games is None else self.games, self.seed or 0
        return Game(*draw_games(self.family, games, seed, self.responses), tau)

    def __str__(self) -> str:
        return self.matrix.name if self.matrix else f"{self.family}, seed {self.seed or 0}"


def compare_methods(
    source: Source,
    methods: Sequence[str],
    tau: float | None,
    sets: Sequence[str],
    iterations: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Play the methods on the same games; print what `summarise` says of each, and draw their gaps into `output`.

    Raises:
        UserError: the source, a method, one of its constants, the game's τ or the output's name is wrong.
    """
    if output and (output.suffix != ".png" or output.is_dir()):
        raise UserError(f"--output {output}: the figure is a PNG file: give a name that ends in .png")
    game, curves = play(source, methods, tau, sets, iterations)
    records = [{"method": method, **summarise(curve)} for method, curve in curves.items()]
    title = f"{source}: {len(game.matrix)} {'game' if len(game.matrix) == 1 else 'games'}, tau {game.tau:g}"
    if output:
        with replacing(output) as file:
            file.write(draw_gaps(title, curves))
    if as_json:
        print(json.dumps({"tau": game.tau, "games": len(game.matrix), "methods": records}))
    else:
        _show(title, records, output)


def play(
    source: Source, methods: Sequence[str], tau: float | None, sets: Sequence[str], iterations: int
) -> tuple[Game, dict[str, Curve]]:
    """The games, and each method's gaps on them, as the command line describes them.

    Raises:
        UserError: as `compare_methods`.
    """
    if iterations < 1:
        raise UserError(f"--iterations {iterations}: set at least 1")
    values = read_sets(sets)
    tau = choose_tau(tau, values)
    solvers = make_solvers(methods, values)
    game = source.game(usual_tau(solvers) if tau is None else tau)
    return game, {solver.name: trace(solver, game, iterations) for solver in solvers}


def summarise(curve: Curve) -> dict[str, Any]:
    """The figures of a method over its games; first passage is None where the median game is never solved."""
    last, passage = curve.gaps[-1], float(np.median(curve.first_passage(THRESHOLD)))
    return {
        "iterations": int(curve.updates[-1]),
        "median_gap": float(np.median(last)),
        "max_gap": float(last.max()),
        "solved": float((last < THRESHOLD).mean()),
        "median_first_passage": passage if np.isfinite(passage) else None,
    }


def _show(title: str, records: Sequence[Mapping[str, Any]], output: Path | None) -> None:
    console = terminal()
    columns = ["method", "iterations", "median gap", "max gap", "solved", "first passage"]
    print_table(console, title, columns, [_row(record) for record in records])
    console.print(_CAPTION, style="dim")
    if output:
        # A path is copied from the terminal: it may not be broken.
        console.print(f"figure   {output}", soft_wrap=True)


def _row(record: Mapping[str, Any]) -> list[str]:
    passage = record["median_first_passage"]
    return [
        record["method"],
        f"{record['iterations']:,}",
        f"{record['median_gap']:.2g}",
        f"{record['max_gap']:.2g}",
        f"{record['solved']:.0%}",
        "–" if passage is None else f"{passage:,.0f}",
    ]
