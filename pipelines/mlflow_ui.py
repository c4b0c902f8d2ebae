"""How to look at runs in MLflow, from where the user stands."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from nashflow.components.core.redaction import redact
from nashflow.components.tracking.mlflow_store import sqlite_file, sqlite_uri


def how_to_look(tracking: str) -> str:
    """A server's URL, or the command that shows the store at `tracking`, with paths from the current folder."""
    if file := sqlite_file(tracking):
        uri = shlex.quote(sqlite_uri(Path(_from_here(Path(file)))))
    elif tracking.startswith(("http://", "https://")):
        return redact(tracking)
    else:  # a database's URI may hold a password
        uri = '"$MLFLOW_TRACKING_URI"'
    return f"{shlex.quote(_mlflow())} ui --backend-store-uri {uri}"


def page_of(tracking: str, experiment: str) -> str:
    """The page of an experiment that charts its runs side by side, on a server or as `how_to_look` shows a store.

    MLflow 3.17 shows applications' traces first, whatever the experiment's kind, unless the address says otherwise.
    """
    served = tracking.startswith(("http://", "https://"))
    server = redact(tracking).rstrip("/") if served else "http://127.0.0.1:5000"
    return f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART"


def _mlflow() -> str:
    """MLflow's command: the one beside this Python, which a shell may not find by its name."""
    beside = Path(sys.executable).with_name("mlflow")
    found = shutil.which("mlflow")
    return "mlflow" if not beside.exists() or (found and beside.samefile(found)) else _from_here(beside)


def _from_here(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path.absolute()) if relative.startswith("..") else relative
