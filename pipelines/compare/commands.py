"""`nashflow compare`. Heavy imports are inside the command."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.command()
def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="A run root, or in MLflow a run's name or id, or a recipe's name."),
    ] = None,
    experiment: Annotated[
        str,
        typer.Option(metavar="NAME", help="Runs of this experiment alone; all of them where nothing else is given."),
    ] = "",
    tag: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="The runs with this tag in MLflow; repeatable.")
    ] = None,
    search: Annotated[
        str,
        typer.Option(metavar="FILTER", help="The runs that MLflow finds, such as 'params.`method.eta` = \"0.5\"'."),
    ] = "",
    baseline: Annotated[
        str, typer.Option(metavar="RUN", help="The run that the others are compared with. Default: the first.")
    ] = "",
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE", help="Compare this figure, such as win_rate; repeatable. Default: all."),
    ] = None,
    play: Annotated[
        bool, typer.Option("--play", help="Ask the runs' oracle about their last policies' answers, head to head.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page. Default: compare.html; none with --json.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Compare runs: what differs, which is better on what and how surely, and what each took; as tables and a page.

    Runs are found in MLflow (MLFLOW_TRACKING_URI; default: runs/mlflow.db), and read from their run roots.
    """
    from .compare import compare_runs
    from .finding import Wanted

    wanted = Wanted(tuple(runs or ()), experiment, tuple(tag or ()), search, baseline)
    page = output or (None if as_json else Path("compare.html"))
    compare_runs(wanted, metric or [], page, play=play, as_json=as_json)
