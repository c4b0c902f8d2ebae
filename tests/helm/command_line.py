"""Command lines of ours, read by the program itself without being carried out."""

from typing import Any

import typer

from nashflow.pipelines.cli import app


def asked(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command of a command line of ours, such as `schedule list`, and its parameters, as the program reads them."""
    command: Any = typer.main.get_command(app)
    context, rest, names = command.make_context("nashflow", words[1:]), words[1:], []
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        names.append(name)
        context = command.make_context(name, rest, parent=context)
    return " ".join(names), context.params
