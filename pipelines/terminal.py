"""The terminal, which prints brackets and words between colons literally, not as markup."""

from rich.console import Console


def terminal(width: int | None = None) -> Console:
    """A console that prints every text as it is; `width` in columns, where it is not the terminal's own."""
    return Console(width=width, markup=False, emoji=False, highlight=False)
