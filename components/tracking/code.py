"""Which code this is: for the tags of a run."""

import functools
import os
from pathlib import Path

from ..core.digests import digest_json, sha256_file
from ..core.version import VERSION
from .tags import CODE, COMMIT
from .tags import VERSION as VERSION_TAG

REVISION = "NASHFLOW_REVISION"
"""Environment variable of images: the commit that they were built from."""

_FOLDER = Path(__file__).parents[1]
_UNKNOWN = ("", "unknown")


@functools.cache
def code_tags() -> dict[str, str]:
    """The package's version, the digest of its source files, and the commit where an image or a checkout names it."""
    tags = {VERSION_TAG: VERSION, CODE: _digest()}
    return tags | ({COMMIT: commit} if (commit := _commit()) else {})


def _digest() -> str:
    files = sorted(path.relative_to(_FOLDER) for path in _FOLDER.rglob("*.py"))
    return digest_json({path.as_posix(): sha256_file(_FOLDER / path) for path in files})


def _commit() -> str:
    if (said := os.environ.get(REVISION, "")) not in _UNKNOWN:
        return said
    checkout = _FOLDER.resolve().parent
    if not (checkout / ".git").exists():
        return ""
    from mlflow.utils.git_utils import get_git_commit

    return get_git_commit(str(checkout)) or ""
