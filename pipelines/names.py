"""Valid names in Kubernetes and container runtimes: patterns, and types that accept only these."""

import re
from typing import Annotated

from pydantic import AfterValidator

from nashflow.components.core.version import VERSION

_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_DOMAIN = rf"(?=.{{1,253}}(/|$)){_LABEL}(\.{_LABEL})*"
_WORD = "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
LABEL_KEY = f"({_DOMAIN}/)?{_WORD}"
LABEL_VALUE = f"({_WORD})?"

_HOST = r"(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)(:[0-9]+)?|[A-Za-z0-9-]+:[0-9]+"
_PART = "[a-z0-9]+(([.]|__?|-+)[a-z0-9]+)*"
IMAGE = (
    rf"(?=.{{1,456}}$)((?P<registry>{_HOST})/)?{_PART}(/{_PART})*"
    "(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?"
)


def _matching(pattern: str, wanted: str) -> AfterValidator:
    """A validator that says of a text that does not match the whole pattern that it is no … ."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is no {wanted}")
        return value

    return AfterValidator(check)


_OBJECT = "name of a Kubernetes object: set lower-case letters, digits, dashes and dots, such as nashflow-s3"
_QUALIFIED = "letters, digits, dashes, dots and underscores, at most 63"
ObjectName = Annotated[str, _matching(_DOMAIN, _OBJECT)]
"""Of a Secret, a ConfigMap, a claim: a subdomain as RFC 1123 has it."""
ObjectNameOrNone = Annotated[str, _matching(f"({_DOMAIN})?", _OBJECT)]
"""Likewise, or empty."""
DataKey = Annotated[
    str,
    _matching(
        r"(?!\.\.?$)[A-Za-z0-9_.-]{1,253}",
        "key of a Secret or ConfigMap: set letters, digits, dashes, dots and underscores",
    ),
]
"""Of an entry of a Secret or ConfigMap."""
VariableName = Annotated[
    str,
    _matching(
        "[A-Za-z_][A-Za-z0-9_]*",
        "name of an environment variable: set letters, digits and underscores, no digit first",
    ),
]
"""Of an environment variable, as every shell reads it."""
_KEY = f"key of a label or taint: set {_QUALIFIED}, after a domain/ or not"
LabelKey = Annotated[str, _matching(LABEL_KEY, _KEY)]
"""Of a label or a taint."""
LabelKeyOrNone = Annotated[str, _matching(f"({LABEL_KEY})?", _KEY)]
"""Likewise, or empty."""
LabelValue = Annotated[str, _matching(LABEL_VALUE, f"value of a label or taint: set {_QUALIFIED}, or none")]
"""Of a label or a taint."""
ResourceName = Annotated[
    str, _matching(f"{_DOMAIN}/{_WORD}", "resource of a vendor: set its whole name, such as nvidia.com/gpu")
]
"""Name of a device plugin's resource."""
ImageName = Annotated[
    str,
    _matching(IMAGE, f"image: set [host[:port]/]name:tag or …@sha256: and 64 digits, such as nashflow-steps:{VERSION}"),
]
"""Of a container image."""
MountPath = Annotated[
    str,
    _matching(
        r"(/(?!\.\.?(/|$))[A-Za-z0-9_.-]+)+/?",
        "folder to mount at: set an absolute path other than /, such as /models, without blanks and colons",
    ),
]
"""Of a folder in a container, below the root."""
RUN_ROOT = r"(?:\{job\}|(?!\$[($]|\[\[)[^{}\x00-\x1f\x7f-\x9f\u2028\u2029])*"
RUN_ROOT_WANTED = (
    "place that pods are told unchanged: set s3://bucket/prefix without line breaks, $(, $$ and [[, and with nothing "
    "but {job}, for the run's own folder, in braces"
)
RunRoot = Annotated[str, _matching(RUN_ROOT, RUN_ROOT_WANTED)]
"""Of a submitted run: Argo replaces `{{…}}`, Kubernetes `$(NAME)` and `$$`, KFP `[[…]]`."""
