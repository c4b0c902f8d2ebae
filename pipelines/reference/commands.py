"""The commands that list and describe: init, recipes, methods, schema. Heavy imports are inside the commands."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The recipe to write.")] = Path("recipe.yaml"),
    model: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Start from this model folder. Default: the sandbox world.")
    ] = None,
) -> None:
    """Write a recipe to start from, and the schema for editors; never overwrites a recipe."""
    from .initial import write_recipe

    print(*write_recipe(file, model), sep="\n")
    print(f"next: nashflow run {shlex.quote(str(file))}")


@app.command()
def recipes() -> None:
    """List the shipped recipes, one per line."""
    from .listing import print_listing, recipes

    print_listing(recipes())


@app.command()
def methods() -> None:
    """List the methods (values of method.name), one per line."""
    from .listing import methods, print_listing

    print_listing(methods())


@app.command()
def schema() -> None:
    """Print the JSON schema of recipes, for editors, including installed variants."""
    from .schema import schema_text

    print(schema_text(), end="")
