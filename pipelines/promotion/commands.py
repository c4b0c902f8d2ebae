"""The commands on registered models: rollback, champions. Heavy imports are inside the commands."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The registered model's name in MLflow.")]


@app.command()
def rollback(
    model: Model,
    to: Annotated[
        int | None, typer.Option(metavar="VERSION", min=1, help="A version's number. Default: the champion before.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the version's page in MLflow.")] = "",
) -> None:
    """Make an earlier version of a registered model the champion again (MLFLOW_TRACKING_URI names the server).

    It takes effect at once, whether or not a run is at the gate: that run's promotion is then refused.
    """
    from .champions import roll_back

    roll_back(model, to, reason)


@app.command()
def champions(
    model: Model,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List the versions of a registered model: which was champion when, and where its files are."""
    from .champions import print_champions

    print_champions(model, as_json)
