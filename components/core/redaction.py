"""Removal of secrets from everything that a run shows: MLflow, its report, its messages."""

import re
from collections.abc import Mapping
from typing import Any

_SECRET = r"passw(?:or)?d|passphrase|secret|credential|authorization|(?:api|access|private)[-_.]?key|token(?![a-z])"
_SECRET_IN_OBJECT = re.compile(
    rf"""((["'])[^"']*(?:{_SECRET})[^"']*\2\s*:\s*)(["'])(?:\\.|(?!\3).)*\3""", re.IGNORECASE | re.DOTALL
)
_SECRET_IN_QUERY = re.compile(rf"([?&][^=&\s]*(?:{_SECRET}|signature|sig)[^=&\s]*=)[^&#\s]*", re.IGNORECASE)
_USER_IN_URI = re.compile(r"(?<=://)[^/?#\s]*@")
_HIDDEN = "[redacted]"


def redact(text: str, key: str = "") -> str:
    """`text` without secrets: passwords in URIs, signatures in queries, values in an object whose key looks like one.

    All of it goes where `key` looks like a secret's name: password, secret, credential, API key, …, and `token` in the
    singular (`max_tokens` is none).
    """
    if re.search(_SECRET, key, re.IGNORECASE):
        return _HIDDEN
    text = _SECRET_IN_OBJECT.sub(rf"\1\3{_HIDDEN}\3", _USER_IN_URI.sub("", text))
    return _SECRET_IN_QUERY.sub(rf"\1{_HIDDEN}", text)


def redact_value(value: Any, key: str = "") -> Any:
    """A JSON value without secrets in its texts; `key` is its own."""
    if isinstance(value, Mapping):
        return {name: redact_value(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(each, key) for each in value]
    return redact(value, key) if isinstance(value, str) else value
