"""One pod from its creation to its end: scheduled, its images pulled, its environment made, its program run."""

import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psutil

from ..argo.nodes import now
from .cluster import Cluster, amount
from .log import Log

_KUBELET = {"component": "kubelet", "host": "node-1"}
_SECONDS = 0.05
_GRACE_SECONDS = 0.2
"""How long a step lives after a signal: the launcher before it ends at once, and the container with it."""


class Pod:
    """A pod and its thread; `manifest` is what the Kubernetes API says of it."""

    def __init__(self, manifest: dict[str, Any], program: Callable[["Pod"], int], runtime: "Runtime") -> None:
        self.manifest = manifest
        self.log = Log()
        self.outputs: dict[str, str] = {}
        self.exit_code: int | None = None
        self.message = ""
        self.events: list[dict[str, Any]] = []
        self.oom = False
        self._program, self._runtime = program, runtime
        self._stopping = threading.Event()
        self._group: int | None = None
        self._begun = now()
        self._deadline: threading.Timer | None = None
        self.thread = threading.Thread(target=self._live, name=self.name, daemon=True)

    @property
    def name(self) -> str:
        return self.manifest["metadata"]["name"]  # type: ignore[no-any-return]

    @property
    def node(self) -> str:
        """The name of the workflow's node that it works for."""
        return self.manifest["metadata"]["annotations"]["workflows.argoproj.io/node-name"]  # type: ignore[no-any-return]

    @property
    def phase(self) -> str:
        return self.manifest["status"]["phase"]  # type: ignore[no-any-return]

    @property
    def main(self) -> dict[str, Any]:
        """The container that the workflow's template names."""
        return next(part for part in self.manifest["spec"]["containers"] if part["name"] == "main")

    def begins(self, group: int) -> None:
        """The step's process group runs: it can be stopped from now on, and trouble befalls it."""
        self._group = group
        if self.stopping:
            self._kill(signal.SIGKILL)
        trouble = self.cluster.befalls(self.node, "oom", "evicted")
        if trouble and trouble.kind == "oom":
            threading.Thread(target=self._run_out_of_memory, args=(amount(trouble.memory),), daemon=True).start()
        elif trouble:
            limit = 'Usage of EmptyDir volume "minio-scratch" exceeds the limit "5Mi". '
            threading.Timer(0.2, self.end, ("Evicted", limit)).start()

    def ends(self) -> None:
        """It has ended: what it left behind ends too, and its number may soon be another process's."""
        self._kill(signal.SIGKILL)
        self._group = None

    def stop(self, at_once: bool = False) -> None:
        """End the pod's program: SIGTERM, and SIGKILL soon after, as for a launcher that does not wait for its step."""
        self._stopping.set()
        self._kill(signal.SIGKILL if at_once else signal.SIGTERM)
        if not at_once:
            threading.Timer(_GRACE_SECONDS, self._kill, (signal.SIGKILL,)).start()

    def end(self, reason: str, message: str) -> None:
        """End the pod for a reason of the kubelet's, such as Evicted or DeadlineExceeded."""
        with self._runtime.changed:
            if self.phase not in ("Pending", "Running"):
                return
            self.manifest["status"] |= {"reason": reason, "message": message}
        self._event("Normal" if reason == "DeadlineExceeded" else "Warning", reason, message)
        self._event("Normal", "Killing", "Stopping container main")
        self.stop()

    def _run_out_of_memory(self, limit: Decimal) -> None:
        """When the step has used so many bytes, the kernel takes its largest process; the launcher lives."""
        while not self.stopping and (group := self._group):
            try:
                step = psutil.Process(group)
                used = {part: part.memory_info().rss for part in [step, *step.children(recursive=True)]}
                if sum(used.values()) > limit:
                    self.oom = True
                    max(used, key=lambda part: used[part]).kill()
                    return
            except psutil.NoSuchProcess:
                pass  # one of them has just ended
            time.sleep(_SECONDS)

    def _kill(self, number: signal.Signals) -> None:
        if self._group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, number)

    # --- its life ----------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        code: int | None = None
        try:
            if self._schedule() and self._pull() and self._configure():
                code = self._run()
        except Exception:  # a fault of this server's own
            self.log.say(*traceback.format_exc().splitlines())
            code = 1
        finally:
            if self._deadline:
                self._deadline.cancel()
            self.log.close()
            self._finish(code)

    def _schedule(self) -> bool:
        """Find room; meanwhile the reason stands in the pod's conditions and events."""
        said = ""
        while not self.stopping:
            with self._runtime.changed:
                why = self.cluster.lacks(self.manifest["spec"], self._runtime.scheduled(self))
                if not why:
                    self._condition("PodScheduled", "True")
                    self.manifest["spec"]["nodeName"] = "node-1"
                    self.manifest["status"]["startTime"] = now()
                    break
                self._condition("PodScheduled", "False", "Unschedulable", why)
                self.message = f"Unschedulable: {why}"
            if why != said:
                self._event("Warning", "FailedScheduling", why, source={}, component="default-scheduler")
                self._runtime.notify()
                said = why
            time.sleep(_SECONDS)
        if self.stopping:
            return False
        assigned = f"Successfully assigned {self.manifest['metadata']['namespace']}/{self.name} to node-1"
        self._event("Normal", "Scheduled", assigned, source={}, component="default-scheduler")
        if seconds := self.manifest["spec"].get("activeDeadlineSeconds"):
            late = "Pod was active on the node longer than the specified deadline"
            self._deadline = threading.Timer(seconds, self.end, ("DeadlineExceeded", late))
            self._deadline.daemon = True
            self._deadline.start()
        return True

    def _pull(self) -> bool:
        image, tries = self.main["image"], 0
        while not self.stopping:
            if image not in self.cluster.missing_images:
                self._event("Normal", "Pulled", f'Container image "{image}" already present on machine')
                return True
            why = (
                f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
            )
            if tries % 2:
                back = f'Back-off pulling image "{image}"'
                self._event("Normal", "BackOff", back)
                self._event("Warning", "Failed", "Error: ImagePullBackOff")
                self._waits("ImagePullBackOff", f"{back}: ErrImagePull: {why}")
            else:
                self._event("Normal", "Pulling", f'Pulling image "{image}"')
                self._event("Warning", "Failed", f'Failed to pull image "{image}": {why}')
                self._event("Warning", "Failed", "Error: ErrImagePull")
                self._waits("ErrImagePull", why)
            tries += 1
            self._stopping.wait(1.0)
        return False

    def _configure(self) -> bool:
        said = ""
        while not self.stopping:
            if not (why := self.cluster.unset(self.main, self.manifest["metadata"]["namespace"])):
                return True
            if why != said:
                self._event("Warning", "Failed", f"Error: {why}")
                self._waits("CreateContainerConfigError", why)
                said = why
            self._stopping.wait(_SECONDS)
        return False

    def _run(self) -> int:
        self._event("Normal", "Created", "Created container: main")
        self._event("Normal", "Started", "Started container main")
        with self._runtime.changed:
            self.message = ""
            self._begun = now()
            running = self._container({"running": {"startedAt": self._begun}}, True)
            self.manifest["status"] |= {"phase": "Running", "containerStatuses": [running]}
            self._runtime.changed.notify_all()
        return self._program(self)

    def _finish(self, code: int | None) -> None:
        with self._runtime.changed:
            status = self.manifest["status"]
            if self.stopping:
                code = 143
            reason = "Completed" if not code else "OOMKilled" if self.oom else "Error"
            terminated = {"exitCode": code or 0, "reason": reason, "startedAt": self._begun, "finishedAt": now()}
            status["containerStatuses"] = [self._container({"terminated": terminated}, False)]
            status["phase"] = "Succeeded" if code == 0 else "Failed"
            self.exit_code = code
            if code:
                self.message = status.get("message") or f"main: {reason} (exit code {code})"
            self.manifest["metadata"]["labels"]["workflows.argoproj.io/completed"] = "true"
            self._runtime.changed.notify_all()

    # --- what is said of it ------------------------------------------------------------------------------------------

    @property
    def cluster(self) -> Cluster:
        return self._runtime.cluster

    @property
    def stopping(self) -> bool:
        """Whether it is being ended from outside."""
        return self._stopping.is_set()

    def _waits(self, reason: str, message: str) -> None:
        with self._runtime.changed:
            self.message = f"{reason}: {message}"
            state = {"waiting": {"reason": reason, "message": message}}
            self.manifest["status"]["containerStatuses"] = [self._container(state, False)]
            self._condition("ContainersReady", "False", "ContainersNotReady", "containers with unready status: [main]")
            self._runtime.changed.notify_all()

    def _container(self, state: dict[str, Any], started: bool) -> dict[str, Any]:
        return {
            "name": "main",
            "image": self.main["image"],
            "imageID": "",
            "lastState": {},
            "ready": started,
            "restartCount": 0,
            "started": started,
            "state": state,
        }

    def _condition(self, kind: str, status: str, reason: str = "", message: str = "") -> None:
        conditions = [item for item in self.manifest["status"].get("conditions", ()) if item["type"] != kind]
        made = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": now()}
        made |= {"reason": reason} if reason else {}
        made |= {"message": message} if message else {}
        self.manifest["status"]["conditions"] = [*conditions, made]

    def _event(
        self, kind: str, reason: str, message: str, source: dict[str, str] | None = None, component: str = "kubelet"
    ) -> None:
        metadata = self.manifest["metadata"]
        involved = {"apiVersion": "v1", "kind": "Pod", "name": self.name, "namespace": metadata["namespace"]}
        again = next((item for item in self.events if (item["reason"], item["message"]) == (reason, message)), None)
        if again:
            again |= {"count": again["count"] + 1, "lastTimestamp": now()}
            return
        self.events.append(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {
                    "name": f"{self.name}.{len(self.events):016x}",
                    "namespace": metadata["namespace"],
                    "creationTimestamp": now(),
                },
                "involvedObject": {**involved, "uid": metadata["uid"]},
                "type": kind,
                "reason": reason,
                "message": message,
                "count": 1,
                "firstTimestamp": now(),
                "lastTimestamp": now(),
                "eventTime": None,
                "source": _KUBELET if source is None else source,
                "reportingComponent": component,
                "reportingInstance": "node-1",
            }
        )


class Runtime:
    """What all pods share."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.changed = threading.Condition()
        self.pods: dict[str, Pod] = {}

    def scheduled(self, other: Pod) -> list[dict[str, Any]]:
        """The specs of the other pods that have a node and have not ended."""
        return [
            pod.manifest["spec"]
            for pod in self.pods.values()
            if pod is not other and "nodeName" in pod.manifest["spec"] and pod.phase in ("Pending", "Running")
        ]

    def notify(self) -> None:
        """Something has changed."""
        with self.changed:
            self.changed.notify_all()
