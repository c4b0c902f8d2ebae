"""The command line. Heavy imports stand inside the commands, so that `--help` answers at once."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nashflow.components.shared.errors import UserError

app = typer.Typer(
    name="nashflow",
    help="Align language models with general preferences by iterative self-play, as a Kubeflow pipeline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe's YAML file, or a shipped recipe's name.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Set a recipe's value; may be given several times."),
]


@app.command()
def run(
    recipe: RecipeArgument,
    run_root: Annotated[
        str, typer.Option(help="Folder or s3://bucket/prefix that the run lives under. Default: runs/<run.name>.")
    ] = "",
    overrides: Overrides = None,
) -> None:
    """Run a recipe here, through Kubeflow's local orchestrator. The same command resumes an interrupted run."""
    from .run import run_recipe

    run_recipe(recipe, overrides or [], run_root)


@app.command()
def compile(
    recipe: RecipeArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("pipeline.yaml"),
    overrides: Overrides = None,
) -> None:
    """Compile a recipe to a Kubeflow pipeline (IR YAML): the graph that `run` executes."""
    from .graph import compile_graph
    from .recipe import load_recipe

    compile_graph(load_recipe(recipe, overrides or []), output)
    print(output)


@app.command()
def plan(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Show what a recipe would do: its steps, what they generate, compare and train, before anything starts."""
    from .plan import print_plan
    from .recipe import load_recipe

    print_plan(load_recipe(recipe, overrides or []))


@app.command()
def report(
    run_root: Annotated[str, typer.Argument(metavar="RUN_ROOT", help="A run's folder or s3:// prefix.")],
    others: Annotated[
        list[str] | None, typer.Option("--with", metavar="RUN_ROOT", help="Another run of the same world.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where the figure of several runs goes.")] = None,
) -> None:
    """Report on a run again, or on several runs of one world in one figure."""
    from .report import report_runs

    report_runs([run_root, *(others or [])], output)


def main() -> None:
    """The `nashflow` command: a user's mistake is one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"nashflow: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
