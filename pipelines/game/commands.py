"""`nashflow game`: the exact methods on preference matrices. Heavy imports are inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Solve preference games exactly: every method's own update, no model and no sampling.", no_args_is_help=True
)

_METHODS = (
    "inpo, onpo, egpo, nash_mp, mnpo, nash_md, nash_md_pg, sppo, dno, dno_exact, online_ipo, ipo or iterative_dpo"
)
_FAMILIES = "rock_paper_scissors, cyclic, uniform, tie_heavy or bradley_terry"
_MATRIX = "CSV without a heading, JSON (a list of rows) or NPY; row i, column j is P(i beats j)."

Reference = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Probabilities of the reference policy, in the same formats. Default: uniform."),
]
Tau = Annotated[
    float | None,
    typer.Option(
        help="The game's KL weight: J(p, q) = p'Pq - tau KL(p||ref) + tau KL(q||ref). Gaps are measured in this game; "
        "onpo, sppo, dno, dno_exact and iterative_dpo do not read it. Default: 0.1, or 0 where no method reads it."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@app.command()
def solve(
    matrix: Annotated[Path, typer.Argument(metavar="MATRIX", help=_MATRIX)],
    method: Annotated[str, typer.Option(help=f"{_METHODS}.")],
    reference: Reference = None,
    tau: Tau = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a constant of the method, such as eta=0.5."),
    ] = None,
    iterations: Annotated[int, typer.Option(help="Iterations at most.")] = 1000,
    tolerance: Annotated[float, typer.Option(help="Stop when the duality gap is at most this.")] = 1e-12,
    average: Annotated[
        bool,
        typer.Option(
            "--average",
            help="Report the uniform average of all policies so far, to which the guarantees of unregularised "
            "games are about, instead of the last iterate.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Play one method on a matrix, from the reference policy, and show its last iterate."""
    from .solve import solve_matrix

    solve_matrix(matrix, method, reference, tau, sets or [], iterations, tolerance, average, as_json)


@app.command()
def compare(
    matrix: Annotated[Path | None, typer.Argument(metavar="[MATRIX]", help=_MATRIX)] = None,
    methods: Annotated[
        list[str] | None, typer.Option("--method", help=f"{_METHODS}; may be given several times.")
    ] = None,
    reference: Reference = None,
    family: Annotated[str | None, typer.Option(help=f"Random games instead of MATRIX: {_FAMILIES}.")] = None,
    responses: Annotated[
        int | None, typer.Option(help="Responses of a random game. Default: 10; 3 and 5 for the first two families.")
    ] = None,
    games: Annotated[int | None, typer.Option(help="Number of random games. Default: 100.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random games. Default: 0.")] = None,
    world: Annotated[
        int | None,
        typer.Option(
            metavar="SEED",
            help="The sandbox world of this seed instead of MATRIX, 0 the quickstart's, with the target of its "
            "reference policy as reference; its gap is the mean over its contexts.",
        ),
    ] = None,
    intransitivity: Annotated[
        float | None,
        typer.Option(help="Strength of the world's cyclic preferences; at 0 a reward explains them. Default: 2.5."),
    ] = None,
    tau: Tau = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="METHOD.KEY=VALUE", help="Set a constant of one method, such as egpo.eta=0.4."),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD.KEY=VALUES",
            help="Play a method with each of several values, such as inpo.eta=0.5,1,2; of several grids, with every "
            "combination.",
        ),
    ] = None,
    iterations: Annotated[int, typer.Option(help="Iterations of every method.")] = 1000,
    output: Annotated[Path | None, typer.Option(help="Draw gap against iterations into this PNG file.")] = None,
    as_json: Json = False,
) -> None:
    """Play several methods on a matrix, on a family of random games or on a sandbox world, and compare their last
    iterates."""
    from .compare import Source, compare_methods

    source = Source(matrix, reference, family, responses, games, seed, world, intransitivity)
    compare_methods(source, methods or [], tau, sets or [], grid or [], iterations, output, as_json)
