"""`nashflow drift`: what changes from run to run. Heavy imports are inside the command."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def drift(
    named: Annotated[
        str, typer.Argument(metavar="RUN_NAME|models:/NAME", help="The name of runs, or a registered model.")
    ],
    under: Annotated[
        str, typer.Option(metavar="PREFIX", help="The folder or s3://bucket/prefix that holds the run roots.")
    ] = "runs",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write drift.html and .json to.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show how the runs of a name, or of a model, have changed: policies against the first champion, prompts, judge.

    The judge is asked again about answers that the runs have kept; nothing is sampled.
    """
    from .show import show_drift

    show_drift(named, under, output, as_json)
