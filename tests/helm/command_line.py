"""Command lines of ours, read by the program itself without being carried out."""

from typing import Any

import typer

from nashflow.pipelines.cli import app
from nashflow.pipelines.client.mode import mode_of


def asked(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command of a command line of ours and its parameters, as the program reads them."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("nashflow", words[1:])
    name, inner, rest = command.resolve_command(context, words[1:])
    inside = inner.make_context(name, rest, parent=context)
    if name == "schedule":
        mode_of(inside, inside.params["name"])
    return name, inside.params
