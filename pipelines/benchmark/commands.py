"""`nashflow benchmark`: benchmarks by themselves. Heavy imports are inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Benchmarks by themselves: stored judgments scored again.", no_args_is_help=True)


@app.command()
def score(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="alpaca_eval, arena_hard (version 0.1), arena_hard_v2 or mt_bench.")
    ],
    judgments: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Judgments of one model in the benchmark's own format: annotations.json, or a judge's JSON lines.",
        ),
    ],
    outputs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The model's answers, in the benchmark's own format.")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(metavar="FILE", help="The baseline's answers, likewise.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the benchmark's files: its questions, of which none may be missing then; for alpaca_eval "
            "df_gamed.csv and instruction_difficulty.csv, which length control needs.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Score stored judgments as the benchmark defines its scores, with intervals."""
    from .score import print_scores

    print_scores(name, judgments, outputs, baseline, data, as_json)
