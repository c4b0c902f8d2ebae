"""A sweep in MLflow: a run above the runs of its grid."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nashflow.components.core.digests import canonical_json, digest_json
from nashflow.components.storage.run import read_run
from nashflow.components.storage.store import Store, open_store
from nashflow.components.tracking.experiment import make_experiment
from nashflow.components.tracking.mlflow_store import connect, environment, failure_line, failures, quiet, send_texts
from nashflow.components.tracking.opening import is_ours

from .grid import Member, named

if TYPE_CHECKING:
    from mlflow import MlflowClient

_KEY = "nashflow.sweep"
RESULT = "sweep.json"


def track(name: str, store: Store, members: Sequence[Member], found: Mapping[str, Any], done: bool) -> str:
    """Put the runs of a sweep below one of its own, which has what was found as an artifact; why it was not told all.

    Args:
        name: display name of the sweep.
        store: the sweep's own root.
        members: its runs. Those that KFP's plugin has made in MLflow stay where they are.
        found: the comparison of those that are finished; empty while there is none.
        done: whether all are.
    """
    uri, _ = environment()
    if not uri:
        return ""
    try:
        with quiet():
            client = connect(uri)
            above = _own_run(client, name, store)
            for member in members:
                _adopt(client, above, f"{name} {named(member.values)}", member.run_root)
            _describe(client, above, found)
            client.set_terminated(above, "FINISHED") if done else client.update_run(above, status="RUNNING")
    except failures() as error:
        return f"not sent to MLflow: {failure_line(error)}; nothing is lost, the same command sends it"
    return ""


def _own_run(client: "MlflowClient", name: str, store: Store) -> str:
    """The id of the sweep's own run, made at the first call."""
    experiment, key = make_experiment(client), digest_json(store.uri)
    found = client.search_runs([experiment], f"tags.`{_KEY}` = '{key}'", max_results=1)
    tags = {_KEY: key, "nashflow.kind": "sweep"}
    run = found[0] if found else client.create_run(experiment, run_name=name, tags=tags)
    return str(run.info.run_id)


def _adopt(client: "MlflowClient", above: str, name: str, run_root: str) -> None:
    """Put a run, if it has begun, below the sweep's, under a name that tells it from the others."""
    run = read_run(open_store(run_root))
    if run and run.tracking and is_ours(client.get_run(run.tracking["parent"])):
        send_texts(client, run.tracking["parent"], {}, {"mlflow.parentRunId": above, "mlflow.runName": name})


def _describe(client: "MlflowClient", above: str, found: Mapping[str, Any]) -> None:
    """The best runs as tags, and all that was found as a file."""
    if not found:
        return
    best = {f"nashflow.best.{name}": named(values) for name, values in found["best"].items()}
    send_texts(client, above, {}, best)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, RESULT).write_bytes(canonical_json(found).encode())
        client.log_artifacts(above, folder)
