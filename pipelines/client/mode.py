"""What `nashflow schedule` shall do, by the options on its command line."""

import typer

from nashflow.components.core.errors import UserError

from .access import Access, on_command_line

_MODES = {"recipe": "RECIPE", "file": "--file", "show": "--list", "delete": "--delete", "paused": "--pause or --resume"}
_BY_NAME = ("delete", "paused")


def mode_of(context: typer.Context, name: str) -> str:
    """The parameter that says what to do: declare a recipe's schedule, or do something about schedules that there are.

    Raises:
        UserError: none or several do, or an option is given that would be ignored.
    """
    options = {parameter.name or "": parameter for parameter in context.command.params}
    given = [option for option in options if on_command_line(context, option)]
    modes = [mode for mode in _MODES if mode in given]
    if modes in (["recipe"], ["recipe", "paused"]):
        return "recipe"
    if len(modes) != 1:
        several = f", not {' and '.join(_MODES[mode] for mode in modes)}" if modes else ""
        raise UserError(f"schedule: give one of {', '.join(_MODES.values())}{several}")
    (mode,) = modes
    taken = {mode, *Access.__dataclass_fields__, *(("name", "owner") if mode in _BY_NAME else ())}
    if ignored := ["/".join((*options[o].opts, *options[o].secondary_opts)) for o in given if o not in taken]:
        instead = "the file says it" if mode == "file" else "leave it out"
        raise UserError(f"schedule: {_MODES[mode]} takes no {', '.join(ignored)}: {instead}")
    if mode in _BY_NAME and not name:
        raise UserError(f"schedule: {_MODES[mode]}: say which one with --name; --list shows them")
    return mode
