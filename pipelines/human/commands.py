"""`nashflow human`: comparisons for people, and their verdicts. Heavy imports are inside the commands."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Compare answers: what runs with the oracle human wait for.")

RunRoot = Annotated[str, typer.Argument(metavar="RUN_ROOT", help="A run's folder or s3:// prefix.")]


@app.command()
def export(
    run_root: RunRoot,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write comparisons.html and .jsonl to.")
    ] = Path("."),
) -> None:
    """Write the comparisons that a run waits for, of all its shards, to a page for people and to JSON lines."""
    from .exchange import export_open

    print(export_open(run_root, output))


@app.command(name="import")
def import_(
    run_root: RunRoot,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Verdict files that the page has saved.")],
) -> None:
    """Hand people's verdicts to a run. Exit code: 0 all are taken, 2 some are not: each has a line on stderr."""
    from .exchange import import_verdicts

    taken = import_verdicts(run_root, files)
    for line in taken.refused:
        print(f"nashflow: {line}", file=sys.stderr)
    print(taken)
    sys.exit(2 if taken.refused else 0)
