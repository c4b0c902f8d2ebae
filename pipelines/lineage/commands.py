"""`nashflow trace`. Heavy imports are inside the command."""

import sys
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)
_WIDE = 10_000


@app.command()
def trace(
    named: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|RUN|FILE",
            help="models:/NAME@ALIAS or models:/NAME/VERSION; a run: its root (RUN_ROOT@3: a policy of it), name or "
            "MLflow id; a file or folder, of a run or a copy, or a digest.",
        ),
    ],
    runs: Annotated[
        str, typer.Option(metavar="PREFIX", help="The folder or s3:// prefix of the runs that are looked through.")
    ] = "runs",
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Read every file and check it against its digest.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a tree.")] = False,
) -> None:
    """Show where a model, a run or a file came from, back to the reference policy, and what used it.

    Exit code 1: a file is missing, or is not what its digest says.
    """
    import json
    from dataclasses import asdict

    from ..terminal import terminal
    from .progress import reading
    from .show import show
    from .trace import Tracer

    with reading() as done:
        found = Tracer(runs, verify, done).trace(named)
    if as_json:
        print(json.dumps(asdict(found), indent=1, ensure_ascii=False))
    else:
        # Lines are folded for people alone: paths stay whole for programs.
        show(found, terminal(None if sys.stdout.isatty() else _WIDE))
    sys.exit(1 if found.faults else 0)
