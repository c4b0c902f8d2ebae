"""`nashflow doctor --self`: the container or machine that this runs in, without any network."""

import contextlib
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

from nashflow.components.core.errors import one_line

from .finding import Finding

_EVERYWHERE = ("boto3", "numpy", "psutil", "pyarrow", "pydantic", "rich", "typer", "yaml")
_CLIENT = (
    "croniter",
    "jinja2",
    "kfp",
    "kfp.kubernetes",
    "kfp_server_api",
    "kubernetes",
    "matplotlib",
    "mlflow",
    "sklearn",
    "tenacity",
)
_STEPS = (
    "accelerate",
    "datasets",
    "jinja2",
    "jsonschema",
    "matplotlib",
    "mlflow",
    "peft",
    "pynvml",
    "requests",
    "safetensors",
    "scipy",
    "sklearn",
    "tenacity",
    "tokenizers",
    "torch",
    "transformers",
    "zstandard",
)
_ENGINES = ("vllm", "deepspeed", "bitsandbytes", "lm_eval", "nltk", "langdetect", "emoji", "syllapy")


def itself() -> Iterator[Finding]:
    """Versions, imports and the temporary folder."""
    versions = f"NashFlow {version('nashflow')}, Python {platform.python_version()}"
    yield Finding("versions", "ok", "NashFlow and Python", versions)
    for module in _modules():
        yield _import(module)
    yield _temporary()


def _modules() -> Sequence[str]:
    """The modules that must be importable: the client's, those of the steps in an image of steps, or both."""
    steps = find_spec("torch") is not None
    client = find_spec("kfp") is not None or not steps
    engines = [name for name in _ENGINES if find_spec(name)]
    wanted = [*_EVERYWHERE, *(_CLIENT if client else ()), *(_STEPS if steps else ()), *engines]
    return list(dict.fromkeys(wanted))


def _import(module: str) -> Finding:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where some tell of themselves
            imported = import_module(module)
        return Finding("imports", "ok", module, str(getattr(imported, "__version__", "imported")))
    except Exception as error:  # a broken library raises what it likes
        return Finding("imports", "failed", module, one_line(error), "build the image anew, or install nashflow again")


def _temporary() -> Finding:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"0")
        return Finding("temporary folder", "ok", "writing a file", tempfile.gettempdir())
    except OSError as error:
        return Finding("temporary folder", "failed", "writing a file", str(error), "mount an emptyDir at /tmp")
