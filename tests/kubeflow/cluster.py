"""A Kubeflow on loopback ports that runs what is submitted to it, with SeaweedFS as its object store."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml

from ..fixtures.seaweedfs import SeaweedFS
from .argo.controller import pod_name
from .metadata import Metadata
from .pods.cluster import Cluster
from .pods.kubelet import Kubelet
from .pods.objects import Objects
from .server.api import KubeflowServer
from .server.users import Users

BUCKET = "mlpipeline"


@dataclass
class Kubeflow:
    """The parts of a running one."""

    server: KubeflowServer
    cluster: Cluster
    kubelet: Kubelet
    metadata: Metadata
    objects: Objects
    folder: Path

    def submit(self, spec: dict[str, Any], platform: dict[str, Any] | None, parameters: dict[str, Any]) -> Any:
        """Upload a pipeline and run it; the run as it begins."""
        server, name = self.server, f"toy-{len(self.server.versions)}"
        experiment = server.post("experiments", {"display_name": name, "namespace": server.namespace})
        pipeline = server.post("pipelines", {"display_name": name, "namespace": server.namespace})
        version = server.add_version(pipeline.pipeline_id, name, spec, platform)
        reference = {"pipeline_id": pipeline.pipeline_id, "pipeline_version_id": version.pipeline_version_id}
        run = {"display_name": name, "experiment_id": experiment.experiment_id, "pipeline_version_reference": reference}
        return server.post("runs", {**run, "runtime_config": {"parameters": parameters}})

    def ended(self, run: Any) -> Any:
        """A run, once it has ended."""
        self.server.workflows[run.run_id].thread.join()
        return self.server.runs[run.run_id]

    def nodes(self, run: Any) -> dict[str, dict[str, Any]]:
        """The nodes of a run's workflow, by their names without the workflow's."""
        workflow = self.server.workflows[run.run_id]
        nodes = workflow.manifest["status"]["nodes"].values()
        return {node["name"].removeprefix(workflow.name): node for node in nodes}

    def log(self, run: Any, node: str) -> str:
        """What the pod of a node has written."""
        pod = self.kubelet.runtime.pods[pod_name(self.server.workflows[run.run_id].name, self.nodes(run)[node])]
        return b"".join(pod.log.read(False, False, None)).decode()

    def keys(self, run: Any) -> list[str]:
        """The objects below a run's own folder in the pipeline root."""
        return [key for key in self.objects.names() if run.run_id in key]

    def stored(self, key: str) -> bytes:
        """An object of KFP's bucket."""
        return self.objects.read(key)

    def kubeconfig(self, file: Path, context: str = "here") -> Path:
        """Write a kubeconfig whose only context leads here."""
        named = {"cluster": context, "user": "me", "namespace": self.server.namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "contexts": [{"name": context, "context": named}],
            "clusters": [{"name": context, "cluster": {"server": self.server.url}}],
            "users": [{"name": "me", "user": {"token": "a-token"}}],
        }
        file.write_text(yaml.safe_dump(config))
        return file


@contextmanager
def kubeflow(
    folder: Path, store: SeaweedFS, namespace: str = "kubeflow", users: Users | None = None
) -> Iterator[Kubeflow]:
    """Start one, with files of its pods below `folder`."""
    objects = Objects(client(store), BUCKET)
    if BUCKET not in {bucket["Name"] for bucket in client(store).list_buckets()["Buckets"]}:
        store.create_bucket(BUCKET)
    cluster, metadata = Cluster(), Metadata()
    kubelet = Kubelet(cluster, objects, metadata, folder)
    server = KubeflowServer(kubelet, namespace, users)
    try:
        yield Kubeflow(server, cluster, kubelet, metadata, objects, folder)
    finally:
        server.close()
        kubelet.close()


def client(store: SeaweedFS) -> Any:
    """boto3's client of an object store."""
    keys = {"aws_access_key_id": store.key, "aws_secret_access_key": store.secret, "region_name": "us-east-1"}
    return boto3.session.Session(**keys).client("s3", endpoint_url=store.url)  # type: ignore[call-overload]
