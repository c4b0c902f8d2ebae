"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer


def _shipped(beginning: str) -> list[str]:
    names = sorted(path.stem for path in (Path(__file__).parent / "recipes").glob("*.yaml"))
    return [name for name in names if name.startswith(beginning)]


RecipeArgument = Annotated[
    str,
    typer.Argument(metavar="RECIPE", help="A recipe's YAML file, or a shipped recipe's name.", autocompletion=_shipped),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting of the recipe; repeatable."),
]
FirstIteration = Annotated[
    int, typer.Option(help="First iteration of the graph; earlier ones must be finished under the same run root.")
]
