"""Arguments and options that several commands have."""

from typing import Annotated

import typer

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe's YAML file, or a shipped recipe's name.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Set a recipe's value; may be given several times."),
]
FirstIteration = Annotated[
    int, typer.Option(help="Unroll from this iteration on; those before it are finished under the same run root.")
]
