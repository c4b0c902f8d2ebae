"""Removal of secrets from everything that a run shows: MLflow, its report, its messages, its tracebacks."""

import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

_SECRET = r"passw(?:or)?d|passphrase|secret|credential|authorization|(?:api|access|private)[-_.]?key|token(?![a-z])"
_SECRET_IN_OBJECT = re.compile(
    rf"""((["'])[^"']*(?:{_SECRET})[^"']*\2\s*:\s*)(["'])(?:\\.|(?!\3).)*\3""", re.IGNORECASE | re.DOTALL
)
_SECRET_IN_QUERY = re.compile(rf"([?&][^=&\s]*(?:{_SECRET}|signature|sig)[^=&\s]*=)[^&#\s]*", re.IGNORECASE)
_USER_IN_URI = re.compile(r"(?<=://)(?:[^/?#\s]*:[^\s\"'<>]*|[^/?#\s]*)@")
"""A password may have every character, also those that end a host's name: all up to the last `@` goes."""
_URI = re.compile(r"[a-z][a-z\d+.-]*://[^/]", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(rf"(?:{_SECRET}|webhook)(?!.*_(?:FILE|ID|PATH|NAME)$)", re.IGNORECASE)
_COMMON = re.compile(r".{0,7}|[a-z-]*")
"""Values that may stand in a text by chance: hidden where they are looked for, not wherever they are met."""
_HIDDEN = "[redacted]"


def redact(text: str, key: str = "") -> str:
    """`text` without secrets: passwords in URIs, signatures in queries, values in an object whose key looks like one,
    and the secrets of this process's environment, wherever they stand.

    All of it goes where `key` looks like a secret's name: password, secret, credential, API key, …, and `token` in the
    singular (`max_tokens` is none).
    """
    if re.search(_SECRET, key, re.IGNORECASE):
        return _HIDDEN
    for secret, shown in _known(tuple(os.environ.items())):
        text = text.replace(secret, shown)
    text = _SECRET_IN_OBJECT.sub(rf"\1\3{_HIDDEN}\3", _USER_IN_URI.sub("", text))
    return _SECRET_IN_QUERY.sub(rf"\1{_HIDDEN}", text)


def redact_value(value: Any, key: str = "") -> Any:
    """A JSON value without secrets in its texts; `key` is its own."""
    if isinstance(value, Mapping):
        return {name: redact_value(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(each, key) for each in value]
    return redact(value, key) if isinstance(value, str) else value


def redact_tracebacks() -> None:
    """Let the tracebacks of this process's errors, which quote what libraries say, be without secrets."""
    sys.excepthook = _print_redacted


def traceback_of(error: BaseException) -> str:
    """The traceback of an error without secrets."""
    return redact("".join(traceback.format_exception(error)))


def _print_redacted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


@lru_cache(maxsize=1)
def _known(environment: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The secrets of an environment, the longest first."""
    return sorted(_secrets(environment), key=lambda pair: -len(pair[0]))


def _secrets(environment: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    """Texts that are secret, and what is shown for them: of variables that are named so, and of URIs' passwords."""
    for name, value in environment:
        if _SECRET_VARIABLE.search(name) and not _COMMON.fullmatch(value):
            yield from ((spelt, _HIDDEN) for spelt in _spellings(value))
        user = value.partition("://")[2].rpartition("@")[0]
        if ":" in user and _URI.match(value):
            yield f"://{user}@", "://"
            password = user.partition(":")[2]
            if not _COMMON.fullmatch(password):
                yield from ((spelt, _HIDDEN) for spelt in _spellings(password))


def _spellings(secret: str) -> set[str]:
    """As it is, and as URIs spell it."""
    return {secret, unquote(secret), quote(secret, safe=""), quote(unquote(secret), safe="")}
