"""Command lines of KFP's own programs."""


def parsed(arguments: list[str]) -> dict[str, str]:
    """`--name value` and `--name=value`, by name."""
    found, waiting = {}, iter(arguments)
    for argument in waiting:
        name, equals, value = argument.removeprefix("--").partition("=")
        found[name] = value if equals else next(waiting)
    return found
