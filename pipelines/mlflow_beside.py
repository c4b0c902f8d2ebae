"""MLflow's store for commands that look runs and models up, where MLFLOW_TRACKING_URI names none."""

import os
from pathlib import Path

from nashflow.components.tracking.mlflow_store import environment, sqlite_uri


def use_store_beside(prefix: str = "runs") -> None:
    """Without MLFLOW_TRACKING_URI, ask the SQLite store that `nashflow run` makes beside run roots, if there is one."""
    file = Path(prefix) / "mlflow.db"
    if "://" not in prefix and file.exists() and not environment()[0]:
        os.environ["MLFLOW_TRACKING_URI"] = sqlite_uri(file.absolute())
