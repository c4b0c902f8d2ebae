"""`nashflow game compare`: several methods on one matrix, on a family of random games or on the sandbox world."""

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
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.world import make_world

from ..plain_table import print_table
from ..terminal import terminal
from .figure import draw_gaps
from .settings import Contender, choose_tau, make_contenders, read_grid, read_sets, usual_tau
from .solve import read_game

THRESHOLD = 1e-6
"""A game whose gap is below this counts as solved."""

_CAPTION = (
    "gap: duality gap of the last iterate, 0 at the Nash equilibrium; solved: share of the games whose gap ends below "
    f"{THRESHOLD:g}; first passage: median over the games of the iterations until it first was below {THRESHOLD:g}, on "
    "a grid of about 100 points a decade"
)


class Source(NamedTuple):
    """Where the games come from: a matrix file, a family of random games, or a sandbox world."""

    matrix: Path | None = None
    reference: Path | None = None
    family: str | None = None
    responses: int | None = None
    games: int | None = None
    seed: int | None = None
    world: int | None = None
    intransitivity: float | None = None

    def game(self, tau: float) -> Game:
        """The games, side by side along the first axis; a world is one game, with its contexts along the second.

        Raises:
            UserError: none or several are named, or what is named is wrong.
        """
        drawn = {"--family": self.family, "--responses": self.responses, "--games": self.games, "--seed": self.seed}
        if self.world is not None:
            return self._world(tau)
        if self.intransitivity is not None:
            raise UserError("--intransitivity: a setting of the sandbox world; give --world with it")
        if self.matrix:
            if given := [option for option, value in drawn.items() if value is not None]:
                raise UserError(f"{given[0]}: a matrix is given already; leave one of the two out")
            game = read_game(self.matrix, self.reference, tau)
            return Game(game.matrix[None], game.log_reference[None], tau)
        if not self.family:
            raise UserError("give a preference matrix, --family for random games, or --world for a sandbox world")
        if self.reference:
            raise UserError("--reference: random games draw their own; give a matrix with it")
        games, seed = 100 if self.games is None else self.games, self.seed or 0
        return Game(*draw_games(self.family, games, seed, self.responses), tau)

    def _world(self, tau: float) -> Game:
        others = {"MATRIX": self.matrix, "--family": self.family, "--reference": self.reference, "--seed": self.seed}
        if given := [option for option, value in others.items() if value is not None]:
            raise UserError(f"{given[0]}: a sandbox world is given already; leave one of the two out")
        settings = {"seed": self.world, "intransitivity": self.intransitivity}
        made = make_world(
            WorldSettings.parse({name: value for name, value in settings.items() if value is not None}, "--world")
        )
        return Game(made.matrix[None], made.log_target[None], tau)

    def __str__(self) -> str:
        if self.world is not None:
            strength = "" if self.intransitivity is None else f", intransitivity {self.intransitivity:g}"
            return f"sandbox world {self.world}{strength}"
        return self.matrix.name if self.matrix else f"{self.family}, seed {self.seed or 0}"


def compare_methods(
    source: Source,
    methods: Sequence[str],
    tau: float | None,
    sets: Sequence[str],
    grid: Sequence[str],
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
    game, played = play(source, methods, tau, sets, grid, iterations)
    records = [_record(contender, curve) for contender, curve in played]
    count = f"{len(game.matrix)} games" if len(game.matrix) > 1 else "1 game"
    title = f"{source}: {count}, tau {game.tau:g}, {iterations:,} iterations"
    if output:
        with replacing(output) as file:
            file.write(draw_gaps(title, played))
    if as_json:
        print(json.dumps({"tau": game.tau, "games": len(game.matrix), "methods": records}))
    else:
        _show(title, records, len(game.matrix) == 1, output)


def play(
    source: Source,
    methods: Sequence[str],
    tau: float | None,
    sets: Sequence[str],
    grid: Sequence[str],
    iterations: int,
) -> tuple[Game, list[tuple[Contender, Curve]]]:
    """The games, and each contender's gaps on them, as the command line describes them; a world's gap is the mean over
    its contexts.

    Raises:
        UserError: as `compare_methods`.
    """
    if iterations < 1:
        raise UserError(f"--iterations {iterations}: set at least 1")
    values = read_sets(sets)
    tau = choose_tau(tau, values)
    contenders = make_contenders(methods, values, read_grid(grid))
    game = source.game(usual_tau([each.solver for each in contenders]) if tau is None else tau)
    return game, [(contender, _traced(contender, game, iterations)) for contender in contenders]


def _traced(contender: Contender, game: Game, iterations: int) -> Curve:
    try:
        curve = trace(contender.solver, game, iterations)
    except UserError as error:
        where = f"{contender}: " if contender.constants else ""
        raise UserError(f"{where}{error}") from None
    return Curve(curve.updates, curve.gaps.reshape(len(curve.updates), len(game.matrix), -1).mean(axis=-1))


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


def _record(contender: Contender, curve: Curve) -> dict[str, Any]:
    return {"method": contender.method, "constants": dict(contender.constants), **summarise(curve)}


def _show(title: str, records: Sequence[Mapping[str, Any]], alone: bool, output: Path | None) -> None:
    console = terminal()
    columns = ["gap"] if alone else ["median gap", "max gap", "solved"]
    print_table(console, title, ["method", *columns, "first passage"], [_row(record, alone) for record in records])
    console.print(_CAPTION, style="dim")
    if output:
        # A path is copied from the terminal: it may not be broken.
        console.print(f"figure   {output}", soft_wrap=True)


def _row(record: Mapping[str, Any], alone: bool) -> list[str]:
    constants = (f"{name}={value}" for name, value in record["constants"].items())
    spread = [] if alone else [f"{record['max_gap']:.2g}", f"{record['solved']:.0%}"]
    passage = record["median_first_passage"]
    return [
        " ".join([record["method"], *constants]),
        f"{record['median_gap']:.2g}",
        *spread,
        "–" if passage is None else f"{passage:,.0f}",
    ]
