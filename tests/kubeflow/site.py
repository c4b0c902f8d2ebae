"""A place to run recipes: a Kubeflow, its object store, an MLflow server, and `nashflow` commands that reach them."""

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..fixtures.cli import COMMAND, wait_for
from ..fixtures.seaweedfs import SeaweedFS
from ..fixtures.tracking import free_port
from .cluster import Kubeflow, client, kubeflow
from .pods.objects import Objects

BUCKET = "nashflow"
_CLUSTER = {
    "secrets": [{"name": "nashflow-s3", "keys": {key: key for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}}],
    "config_maps": [
        {
            "name": "nashflow-env",
            "keys": {key: key for key in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "MLFLOW_TRACKING_URI")},
        }
    ],
}


@dataclass
class Site:
    """What is there."""

    kubeflow: Kubeflow
    store: SeaweedFS
    tracking: str
    """The MLflow server's URL."""
    folder: Path
    bucket: str
    """Where run roots are."""

    def recipe(self, name: str, **more: Any) -> Path:
        """The quickstart under a name of its own, with what this cluster asks of it, and `more` of its sections."""
        cluster = {"run_root": f"s3://{self.bucket}/runs/{{job}}", **_CLUSTER, **more.pop("cluster", {})}
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"extends": "quickstart", "run": {"name": name}, "cluster": cluster, **more}))
        return file

    def command(self, *arguments: Any, sets: tuple[str, ...] = ()) -> list[str]:
        """The command line as a user writes it."""
        return [*COMMAND, *map(str, arguments), *(part for item in sets for part in ("--set", item))]

    def nashflow(
        self, *arguments: Any, sets: tuple[str, ...] = (), check: bool = True, tracked: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; by default it has to exit with 0; `tracked`: told where MLflow is."""
        environment = self.environment | ({"MLFLOW_TRACKING_URI": self.tracking} if tracked else {})
        done = subprocess.run(self.command(*arguments, sets=sets), env=environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}\n{self.told()}"
        return done

    @property
    def environment(self) -> dict[str, str]:
        """A user's: where the API server, Kubernetes and the store are; nothing of this machine's."""
        dropped = ("AWS", "MLFLOW", "KF", "NASHFLOW_JOURNAL")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        return {
            **kept,
            **self.store.environment,
            "KF_PIPELINES_ENDPOINT": self.kubeflow.server.url,
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "NO_PROXY": "127.0.0.1",
            "COLUMNS": "200",
        }

    def run(self, text: str) -> Any:
        """The run that a command's output names."""
        return next(run for run in self.kubeflow.server.runs.values() if run.run_id in text)

    def read(self, run: Any, file: str) -> Any:
        """A JSON file below a run's root."""
        return json.loads(self._objects.read(f"{self._root(run)}/{file}"))

    def files(self, run: Any) -> list[tuple[str, bytes]]:
        """All that is below a run's root: names and contents."""
        root = f"{self._root(run)}/"
        return [(name.removeprefix(root), self._objects.read(name)) for name in self._objects.names(root)]

    def digests(self, run: Any) -> list[str]:
        """Of the run's policies, by iteration."""
        return [policy["digest"] for policy in self.read(run, "report/summary.json")["policies"]]

    def _root(self, run: Any) -> str:
        """Where in the bucket a run's root is."""
        root = run.runtime_config.parameters["run_root"].replace("{job}", run.run_id)
        return root.removeprefix(f"s3://{self.bucket}/")  # type: ignore[no-any-return]

    @property
    def _objects(self) -> Objects:
        return Objects(client(self.store), self.bucket)

    def step(self, run: Any, name: str) -> str:
        """The name of a step's pod, once it runs."""

        def running() -> str:
            for pod in list(self.kubeflow.kubelet.runtime.pods.values()):
                mine = pod.manifest["metadata"]["labels"]["pipeline/runid"] == run.run_id
                if mine and pod.phase == "Running" and f".{name}" in pod.node and ".executor" in pod.node:
                    return pod.name
            return ""

        return wait_for(running)  # type: ignore[no-any-return]

    def told(self) -> str:
        """The last lines of all pods that failed."""
        failed = [pod for pod in self.kubeflow.kubelet.runtime.pods.values() if pod.phase == "Failed"]
        logs = (b"".join(pod.log.read(False, False, None)).decode()[-2000:] for pod in failed)
        return "\n".join(f"== {pod.node}\n{log}" for pod, log in zip(failed, logs, strict=True))


@contextmanager
def site(folder: Path, store: SeaweedFS, tables: Path) -> Iterator[Site]:
    """Make one; `tables` is an empty database of MLflow's."""
    with kubeflow(folder, store) as running, _mlflow(folder, tables) as tracking:
        yield equipped(running, store, tracking, folder)


def equipped(running: Kubeflow, store: SeaweedFS, tracking: str, folder: Path) -> Site:
    """A Kubeflow with what recipes need in their namespace: a bucket, its keys, addresses."""
    bucket = f"{BUCKET}-{uuid.uuid4().hex[:8]}"
    store.create_bucket(bucket)
    running.cluster.room["cpu"] = "4"
    keys = {"AWS_ACCESS_KEY_ID": store.key, "AWS_SECRET_ACCESS_KEY": store.secret}
    running.cluster.secrets["nashflow-s3"] = keys
    running.cluster.config_maps["nashflow-env"] = {
        "AWS_ENDPOINT_URL": store.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_TRACKING_URI": tracking,
    }
    running.kubelet.kubeconfig = str(running.kubeconfig(folder / "kubeconfig"))
    return Site(running, store, tracking, folder, bucket)


@contextmanager
def _mlflow(folder: Path, tables: Path) -> Iterator[str]:
    database = folder / "mlflow.db"
    database.write_bytes(tables.read_bytes())
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: _answers(f"{url}/health"))
        yield url
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
