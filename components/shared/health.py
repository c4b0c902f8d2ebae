"""Health of the container that a step would run in: `python3 -m nashflow.components.shared.health [module …]`.

What every step imports can be imported, so can the modules named, and the temporary folder can be written to. Exit code
0: one JSON line on stdout says the versions. 2: one line on stderr says what is wrong.
"""

import importlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence

from .errors import UserError
from .protocol import USER_ERROR

EVERY_STEP = (
    "boto3",
    "jinja2",
    "matplotlib",
    "mlflow",
    "numpy",
    "psutil",
    "pyarrow",
    "pydantic",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
)


def check(modules: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of `modules` by name, the user's id and the temporary folder.

    Raises:
        UserError: a module cannot be imported, or the temporary folder cannot be written to.
    """
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"0")
    except OSError as error:
        raise UserError(f"no temporary folder: {error.strerror or error}; mount an emptyDir at /tmp") from None
    found = {"python": platform.python_version(), "user": str(os.getuid()), "temporary": tempfile.gettempdir()}
    return found | {name: _version(name) for name in modules}


def main(further: Sequence[str]) -> int:
    """Check and say so; the exit code."""
    try:
        print(json.dumps(check([*EVERY_STEP, *further])))
    except UserError as error:
        print(f"health: {error}", file=sys.stderr)
        return USER_ERROR
    return 0


def _version(name: str) -> str:
    try:
        return str(getattr(importlib.import_module(name), "__version__", "unknown"))
    except Exception as error:  # a broken library raises what it likes
        raise UserError(f"{name} cannot be imported: {' '.join(str(error).split())}; build the image anew") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
