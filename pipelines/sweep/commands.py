"""`nashflow sweep`. Heavy imports are inside the command."""

from typing import Annotated

import typer

from ..cluster.api.access import Access, with_access
from ..cluster.commands import Experiment, ServiceAccount
from ..options import Overrides, RecipeArgument

app = typer.Typer(no_args_is_help=True)


@app.command()
@with_access
def sweep(
    access: Access,
    recipe: RecipeArgument,
    grid: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=VALUE,VALUE",
            help="The values of a setting, such as method.eta=0.1,0.01; of several grids, all combinations.",
        ),
    ],
    overrides: Overrides = None,
    run_root: Annotated[
        str,
        typer.Option(
            help="Folder or s3://bucket/prefix of the runs, which share a cache of log-probabilities there. Default: "
            "runs/sweep-<run.name>; with --submit, the recipe's cluster.run_root."
        ),
    ] = "",
    metric: Annotated[
        str, typer.Option(metavar="FIGURE", help="The figure to choose by. Default: the benchmarks' first headline.")
    ] = "",
    submit: Annotated[
        bool, typer.Option("--submit", help="Run them on Kubeflow Pipelines instead of this machine, all at once.")
    ] = False,
    experiment: Experiment = "nashflow",
    service_account: ServiceAccount = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only which run is best, and errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Run a recipe with each combination of some settings' values, and say which is best on what.

    Intervals hold for all runs at once, since the best of many tries looks better than it is. In MLflow the runs are
    below one of the sweep's own. The same command goes on where it was stopped.
    """
    from ..recipe import load_recipe
    from ..run_display import Shown
    from .sweep import Sweep, run_sweep

    sets = overrides or []
    if submit:
        from ..cluster.api.connection import connect
        from .submitted import root_of, submit_sweep

        made = Sweep(recipe, sets, grid, root_of(recipe, sets, run_root), metric, as_json)
        submit_sweep(made, connect(access), experiment, service_account)
    else:
        root = run_root or f"runs/sweep-{load_recipe(recipe, sets).run.name}"
        run_sweep(Sweep(recipe, sets, grid, root, metric, as_json), Shown(quiet or as_json))
