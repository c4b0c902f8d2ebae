"""The pods of workflows: what Argo asks for becomes a driver in a thread, or a launcher with a real process."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..argo.controller import pod_name
from ..argo.nodes import Node
from ..driver.drive import drive, new_salt
from ..driver.upstream import DriverError
from ..flags import parsed
from ..metadata import Metadata
from . import said
from .cluster import Cluster
from .expansion import expand
from .launcher import Launcher
from .manifest import EMISSARY, manifest
from .objects import Objects
from .pod import Pod, Runtime
from .sandbox import Sandbox

_KEPT = ("LANG", "LC_ALL", "OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY", "COVERAGE_PROCESS_START")
"""Variables of this process that steps get too: none that says where anything is."""


class Kubelet:
    """Makes and keeps the pods of all workflows in a cluster."""

    def __init__(self, cluster: Cluster, objects: Objects, metadata: Metadata, folder: Path) -> None:
        self.runtime = Runtime(cluster)
        self.python = Path(sys.executable)
        """What `python3` is in every image."""
        self.kubeconfig = ""
        """A file that leads to the Kubernetes API; a real pod finds it by its service account."""
        self._objects, self._metadata, self._folder = objects, metadata, folder

    def of(self, workflow: dict[str, Any], pipeline_root: str) -> "WorkflowPods":
        """The pods of one workflow."""
        return WorkflowPods(self, workflow, pipeline_root)

    def delete(self, name: str) -> bool:
        """Force-delete a pod, as a lost node does; whether there was one."""
        with self.runtime.changed:
            pod = self.runtime.pods.pop(name, None)
        if pod is None:
            return False
        pod.stop(at_once=True)
        self.runtime.notify()
        return True

    def close(self) -> None:
        """End all pods."""
        with self.runtime.changed:
            pods = list(self.runtime.pods.values())
        for pod in pods:
            pod.stop(at_once=True)
        for pod in pods:
            pod.thread.join(10)

    def driver(self, pod: Pod, pipeline_root: str) -> int:
        """A driver's program."""
        flags = parsed(self._words(pod, "args"))
        pod.log.say(*said.begun(), said.kfp("main.go:119", f"Setting log level to: '{flags['log_level']}'"))
        for name, where in (("component", "396"), ("task", "403"), ("container", "409")):
            if flags.get(name):
                shown = json.dumps(json.loads(flags[name]), indent=2)
                pod.log.say(said.kfp(f"main.go:{where}", f"input {name.title()}Spec:{shown}"), "")
        try:
            driven = drive(self._metadata, flags, pipeline_root, new_salt)
        except DriverError as error:
            pod.log.say(said.kfp("main.go:127", f"KFP driver: {error}", "F"), *said.ended(1))
            return 1
        pod.outputs = driven.outputs
        pod.log.say(*(said.kfp("main.go:568", line) for line in driven.log), *said.ended(0))
        return 0

    def launcher(self, pod: Pod) -> int:
        """A launcher's program."""
        pod.log.say(*said.begun())
        command = self._words(pod, "command")[len(EMISSARY) + 1 :] + self._words(pod, "args")
        folder = self._folder / f"{pod.name}-{pod.manifest['metadata']['uid'][:8]}"
        sandbox = Sandbox(folder)
        for volume in pod.manifest["spec"]["volumes"]:
            if claim := volume.get("persistentVolumeClaim", {}).get("claimName"):
                for mount in pod.main["volumeMounts"]:
                    if mount["name"] == volume["name"]:
                        sandbox.mounts[mount["mountPath"]] = self.runtime.cluster.claims[claim]
        self._project(pod, sandbox)
        launcher = Launcher(sandbox, self._objects, self._metadata, pod.log)
        try:
            code = launcher.run(command, self._variables(pod), pod)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        pod.log.say(*said.ended(code))
        return code

    def _words(self, pod: Pod, kind: str) -> list[str]:
        known = self._declared(pod)
        return [expand(word, known) for word in pod.main.get(kind, ())]

    def _declared(self, pod: Pod) -> dict[str, str]:
        """The variables of the container's own, from which the kubelet expands its command line."""
        metadata = pod.manifest["metadata"]
        fields = {f"metadata.{key}": metadata[key] for key in ("name", "uid", "namespace")}
        fields |= {f"metadata.labels['{key}']": value for key, value in metadata["labels"].items()}
        return self.runtime.cluster.environment(pod.main, fields)

    def _variables(self, pod: Pod) -> dict[str, str]:
        """A step's environment: the image's, and the container's."""
        image = {name: os.environ[name] for name in _KEPT if name in os.environ}
        image |= {"PATH": f"{self.python.parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/run"}
        image |= {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
        image |= {"KUBECONFIG": self.kubeconfig} if self.kubeconfig else {}
        return {**image, **self._declared(pod)}

    def _project(self, pod: Pod, sandbox: Sandbox) -> None:
        """The files of the service account."""
        account = sandbox.file("/run/secrets/kubernetes.io/serviceaccount")
        account.mkdir(parents=True)
        (account / "namespace").write_text(pod.manifest["metadata"]["namespace"])
        (account / "token").write_text("a token for Kubernetes")


class WorkflowPods:
    """The pods of one workflow, as Argo's controller sees them."""

    def __init__(self, kubelet: Kubelet, workflow: dict[str, Any], pipeline_root: str) -> None:
        self._kubelet, self._workflow, self._root = kubelet, workflow, pipeline_root

    def start(self, node: Node, template: dict[str, Any]) -> None:
        runtime = self._kubelet.runtime
        name = pod_name(self._workflow["metadata"]["name"], node)
        with runtime.changed:
            if name in runtime.pods:
                return
            if runtime.cluster.befalls(node["name"], "quota"):
                node["message"] = (
                    f'pods "{name}" is forbidden: exceeded quota: compute, requested: requests.cpu=1, '
                    "used: requests.cpu=8, limited: requests.cpu=8"
                )
                return
            program: Callable[[Pod], int] = (
                self._kubelet.launcher
                if "podSpecPatch" in template
                else lambda pod: self._kubelet.driver(pod, self._root)
            )
            pod = Pod(manifest(self._workflow, node, template), program, runtime)
            runtime.pods[name] = pod
        pod.thread.start()

    def look(self, node: Node) -> Pod | None:
        with self._kubelet.runtime.changed:
            return self._kubelet.runtime.pods.get(pod_name(self._workflow["metadata"]["name"], node))

    def stop(self, node: Node) -> None:
        if pod := self.look(node):
            pod.stop()
