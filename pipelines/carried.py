"""JSON that reaches a pod as it was written.

Argo replaces `{{…}}` in the constants of a graph, Kubernetes `$(NAME)` by an environment variable of the container, a
secret's too, and KFP's API server `[[CurrentTime]]` and the like in parameters of a run. JSON has another spelling for
the characters that they look for.
"""

import json
import re
from typing import Any

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_SPELT = {"{": "\\u007b", "}": "\\u007d", "$": "\\u0024", "[": "\\u005b", "]": "\\u005d"}


def carried(value: Any) -> str:
    """A JSON value as text in which nothing is replaced on its way: no braces and brackets in texts, no dollar sign."""
    return _TEXT.sub(_spelt, json.dumps(value, sort_keys=True, ensure_ascii=False))


def _spelt(text: re.Match[str]) -> str:
    return "".join(_SPELT.get(letter, letter) for letter in text[0])
