"""The commands on registered models: promote, rollback, champions. Heavy imports are inside the commands."""

from typing import Annotated

import typer

from ..options import Overrides

app = typer.Typer(no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The registered model's name in MLflow.")]


@app.command()
def promote(
    named: Annotated[
        str, typer.Argument(metavar="RUN_ROOT[@ITERATION]", help="A run's folder or s3:// prefix; its last iteration.")
    ],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="The registered model. Default: the run's promotion.model.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide, and leave the registry as it is.")] = False,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision as JSON, for programs.")] = False,
) -> None:
    """Compare a run's policy with the champion of a registered model, and promote it where it is better.

    It is what the run's own step promotion does, about the champion of today; the same command goes on where it was
    stopped. MLFLOW_TRACKING_URI names the server. Exit code 0 whatever is decided.
    """
    from .promote import promote_policy

    settings = [*([f"promotion.model={model}"] if model else []), *(overrides or [])]
    promote_policy(named, [*settings, *(["promotion.dry_run=true"] if dry_run else [])], as_json)


@app.command()
def rollback(
    model: Model,
    to: Annotated[
        int | None, typer.Option(metavar="VERSION", min=1, help="A version's number. Default: the champion before.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the version's page in MLflow.")] = "",
) -> None:
    """Make an earlier version of a registered model the champion again (MLFLOW_TRACKING_URI names the server;
    default: runs/mlflow.db).

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
