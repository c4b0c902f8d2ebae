"""The terminal: it prints brackets and words between colons literally, and any character in some form."""

import codecs
import io
import sys
import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

_REPLACED = "nashflow-replaced"
_SUBSTITUTES = {
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "×": "x",
    "·": "*",
    "±": "+-",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "←": "<-",
    "→": "->",
    "↓": "v",
    "≻": ">",
    "‖": "||",
    "′": "'",
    "’": "'",
    "²": "^2",
    "✓": "ok",
}
_GREEK = "GREEK SMALL LETTER "


def terminal(width: int | None = None, *, stderr: bool = False) -> Console:
    """A console that prints every text as it is; `width` in columns, where it is not the terminal's own."""
    return _Terminal(width=width, markup=False, emoji=False, highlight=False, stderr=stderr)


def print_anything() -> None:
    """Let stdout and stderr take every text: a character that their encoding lacks is replaced by plain ones."""
    codecs.register_error(_REPLACED, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_REPLACED)


class _Terminal(Console):
    """Replaces what cannot be printed before it lays out tables, whose columns would be shifted otherwise."""

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as it will be printed."""
        errors = getattr(self.file, "errors", None) or "strict"
        printed = text.encode(self.encoding, errors).decode(self.encoding) if errors == _REPLACED else text
        return super().render_str(printed, **options)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(_substitute, error.object[error.start : error.end])), error.end


def _substitute(character: str) -> str:
    """ASCII for a character: letters of paths and names as escapes, so that none is taken for another."""
    if character in _SUBSTITUTES:
        return _SUBSTITUTES[character]
    if (name := unicodedata.name(character, "")).startswith(_GREEK):
        return name.removeprefix(_GREEK).lower()
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode()
