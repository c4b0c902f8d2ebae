"""Kubeflow Trainer 2.3: TrainJobs of its torch runtime become pods, as its webhook, plugins and JobSet make them."""

import copy
import json
import os
import re
import socket
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from kubeflow_trainer_api.models.trainer_v1alpha1_train_job import TrainerV1alpha1TrainJob

from ...pipelines.cluster.server import Refused
from ..argo.nodes import now
from ..pods.cluster import Cluster
from .node import Node

Json = dict[str, Any]

API_VERSION = "trainer.kubeflow.org/v1alpha1"
TORCH: Json = {
    "mlPolicy": {"numNodes": 1, "torch": {}},
    "template": {"spec": {"replicatedJobs": [{"name": "node"}]}},
}
"""The runtime `torch-distributed`, in short: one replicated job `node` with a container `node`."""
_KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY")
_POLL_SECONDS = 0.02


@dataclass
class Job:
    """A TrainJob and its pods."""

    manifest: Json
    nodes: list[Node] = field(default_factory=list)


class Trainer:
    """The TrainJobs of one namespace, and what is to befall them: change it, and the next job fares otherwise."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.runtimes: dict[str, dict[str, Json]] = {
            "trainingruntimes": {},
            "clustertrainingruntimes": {"torch-distributed": TORCH},
        }
        self.jobs: dict[str, Job] = {}
        self.bodies: list[Json] = []
        """All that were created, as they were sent."""
        self.unknown: set[str] = set()
        """Fields of a TrainJob's spec that this version does not know: those of 2.2, in 2.0 and 2.1."""
        self.lacks_room = ""
        """Why no machine takes pods."""
        self.quota = ""
        """Why Kubernetes lets no pods be made."""
        self.events: list[Json] = []
        self._changed = threading.RLock()
        self._closed = threading.Event()

    def create(self, body: Json, strict: bool) -> Json:
        """Make one.

        Raises:
            Refused: Kubernetes' schema, or Trainer's webhook, does.
        """
        name = body["metadata"]["name"]
        self._check(body, strict)
        with self._changed:
            if name in self.jobs:
                raise refused(409, "AlreadyExists", f'trainjobs.trainer.kubeflow.org "{name}" already exists')
            self.bodies.append(copy.deepcopy(body))
            metadata = {**body["metadata"], "uid": str(uuid.uuid4()), "creationTimestamp": now()}
            metadata["namespace"] = self.namespace
            job = self.jobs[name] = Job({**copy.deepcopy(body), "metadata": metadata})
            if self.quota:
                message = f"TrainJob resources reconciliation failed: {self.quota}"
                event = {"type": "Warning", "reason": "TrainJobResourcesCreationFailed", "message": message}
                self.events.append({**event, "metadata": {"name": name}, "involvedObject": {"name": name}})
            else:
                job.nodes += self._pods(job.manifest)
            threading.Thread(target=self._watch, args=(name, job), daemon=True).start()
        return job.manifest

    def delete(self, name: str, identity: str = "") -> Json:
        """Delete one in the foreground, that of a UID if one is given: it is there until its pods have ended.

        Raises:
            Refused: there is none, or it is another one.
        """
        job = self.job(name)
        if (found := job.manifest["metadata"]["uid"]) != (identity or found):
            raise refused(409, "Conflict", f"the UID in the precondition ({identity}) does not match {found}")
        with self._changed:
            again = "deletionTimestamp" in job.manifest["metadata"]
            job.manifest["metadata"].setdefault("deletionTimestamp", now())
        if not again:
            threading.Thread(target=self._remove, args=(name, job), daemon=True).start()
        return job.manifest

    def job(self, name: str) -> Job:
        """Raises Refused where there is none."""
        if name not in self.jobs:
            raise refused(404, "NotFound", f'trainjobs.trainer.kubeflow.org "{name}" not found')
        return self.jobs[name]

    def nodes(self) -> list[Node]:
        """The pods of all TrainJobs."""
        return [node for job in list(self.jobs.values()) for node in job.nodes]

    def close(self) -> None:
        """End all."""
        self._closed.set()
        for node in self.nodes():
            node.kill()
            node.stop()

    def _check(self, body: Json, strict: bool) -> None:
        spec, name = body["spec"], body["metadata"]["name"]
        known = TrainerV1alpha1TrainJob.from_dict(copy.deepcopy(body))
        assert known
        unknown = [*_unknown(body, json.loads(known.to_json())), *(f"spec.{key}" for key in self.unknown & set(spec))]
        if unknown and strict:
            fields = ", ".join(f'unknown field "{each}"' for each in unknown)
            said = f'TrainJob in version "v1alpha1" cannot be handled as a TrainJob: strict decoding error: {fields}'
            raise refused(400, "BadRequest", said)
        assert not unknown, "without strict validation the field would be dropped"
        kind = {"TrainingRuntime": "trainingruntimes", "ClusterTrainingRuntime": "clustertrainingruntimes"}
        why = ""
        if spec["runtimeRef"]["name"] not in self.runtimes[kind[spec["runtimeRef"]["kind"]]]:
            why = "spec.RuntimeRef: Invalid value: specified clusterTrainingRuntime must be created before the TrainJob"
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,50}[a-z0-9])?", name):  # with -node-0-… it is a host's name
            why = f"metadata.name: Invalid value: {name}"
        if any(each["name"].startswith("PET_") for each in spec["trainer"]["env"]):
            why = "spec.trainer.env: Invalid value: must not have reserved envs"
        for patch in spec.get("runtimePatches", ()):
            if "/" not in patch["manager"]:
                why = "spec.runtimePatches.manager: Invalid value: must be a domain-prefixed path"
            for replicated in patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]:
                containers = replicated["template"]["spec"]["template"]["spec"].get("containers", ())
                if replicated["name"] != "node" or any(each["name"] != "node" or "env" in each for each in containers):
                    why = "spec.runtimePatches: Invalid value: must not have container that doesn't exist"
        if why:
            webhook = 'admission webhook "validator.trainjob.trainer.kubeflow.org" denied the request'
            raise refused(403, "Forbidden", f"{webhook}: {why}")

    def _pods(self, job: Json) -> list[Node]:
        spec = job["spec"]
        trainer, count = spec["trainer"], spec["trainer"]["numNodes"]
        (patch,) = spec["runtimePatches"]
        (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
        template = copy.deepcopy(replicated["template"]["spec"]["template"])
        name, port = job["metadata"]["name"], str(_free_port())
        made = []
        for index in range(count):
            torch = {
                "PET_NNODES": str(count),
                "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
                "PET_NODE_RANK": str(index),
                "PET_MASTER_ADDR": "127.0.0.1",  # the real one: the name of the first pod
                "PET_MASTER_PORT": port,
            }
            (patched,) = template["spec"].get("containers", [{"name": "node"}])
            resources = trainer["resourcesPerNode"]
            container = {**patched, "image": trainer["image"], "command": trainer["command"], "resources": resources}
            container["env"] = [*trainer["env"], *({"name": key, "value": value} for key, value in torch.items())]
            labels = {
                **template["metadata"].get("labels", {}),
                "jobset.sigs.k8s.io/jobset-name": name,
                "jobset.sigs.k8s.io/replicatedjob-name": "node",
                "batch.kubernetes.io/job-completion-index": str(index),
            }
            metadata = {
                **template["metadata"],
                "labels": labels,
                "name": f"{name}-node-0-{index}-{uuid.uuid4().hex[:5]}",
            }
            metadata |= {"namespace": self.namespace, "uid": str(uuid.uuid4()), "creationTimestamp": now()}
            manifest = {"metadata": metadata, "spec": {**template["spec"], "containers": [container]}, "status": {}}
            own = {key: os.environ[key] for key in _KEPT if key in os.environ}
            environment = own | self.cluster.environment(container, {})
            made.append(Node(manifest, environment, self.lacks_room))
        return made

    def _watch(self, name: str, job: Job) -> None:
        """Trainer's controller: the conditions of a job whose pods have ended."""
        while self.jobs.get(name) is job and not self._closed.wait(_POLL_SECONDS):
            codes = [node.code for node in job.nodes]
            if codes and not any(code is None or code for code in codes):
                self._conclude(job, "Complete", "AllJobsCompleted", "jobset completed successfully")
                return
            if any(node.exhausted for node in job.nodes):
                why = f"jobset failed due to one or more job failures (first failed job: {name}-node-0)"
                self._conclude(job, "Failed", "FailedJobs", why)
                return

    def _conclude(self, job: Job, kind: str, reason: str, message: str) -> None:
        condition = {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now()}
        job.manifest["status"] = {"conditions": [condition]}

    def _remove(self, name: str, job: Job) -> None:
        stops = [threading.Thread(target=node.stop) for node in job.nodes]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()
        with self._changed:
            if self.jobs.get(name) is job:
                del self.jobs[name]


def _unknown(sent: Any, known: Any, path: str = "") -> list[str]:
    """The fields of what was sent that the models of kubeflow-trainer-api do not know."""
    if isinstance(sent, dict) and isinstance(known, dict):
        inner = {f"{path}.{key}".lstrip("."): (value, known.get(key)) for key, value in sent.items()}
        return [each for at, (value, there) in inner.items() for each in _unknown(value, there, at)]
    if isinstance(sent, list) and isinstance(known, list):
        return [each for one, other in zip(sent, known, strict=True) for each in _unknown(one, other, path)]
    return [] if sent == known or sent in ({}, []) else [path]


def refused(status: int, reason: str, message: str) -> Refused:
    """Kubernetes' own kind of error."""
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return Refused(status, message, {**body, "reason": reason, "code": status})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
