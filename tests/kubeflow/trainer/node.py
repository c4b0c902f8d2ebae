"""One pod of a TrainJob: its container's command as a process of this machine, restarted as Kubernetes' Job does."""

import contextlib
import os
import signal
import subprocess
import threading
from typing import Any

from ..argo.nodes import now
from ..pods.expansion import expand
from ..pods.log import Log

Json = dict[str, Any]

_BACK_OFF_LIMIT = 6
_BACK_OFF_SECONDS = 10.0


class Node:
    """The pod; `manifest` is what the Kubernetes API says of it."""

    def __init__(self, manifest: Json, environment: dict[str, str], waits: str = "") -> None:
        """`waits`: why no machine takes the pod; empty where one does."""
        self.manifest = manifest
        self.logs = [Log()]
        """Of each time that the container was started."""
        self.code: int | None = None
        self.restarts = 0
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        if waits:
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": waits}
            manifest["status"] = {"phase": "Pending", "conditions": [condition]}
            return
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def exhausted(self) -> bool:
        """Whether it has failed for good."""
        return bool(self.code) and self.restarts >= _BACK_OFF_LIMIT

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send its processes a signal, as the kernel does where memory runs out."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after the grace period; returns when it has ended."""
        self._stopping.set()
        if hasattr(self, "_thread"):
            self.kill(signal.SIGTERM)
            self._thread.join(self.manifest["spec"].get("terminationGracePeriodSeconds", 30))
            self.kill()
            self._thread.join()

    def _live(self) -> None:
        while not self._stopping.is_set():
            code, begun = self._run(), self._begun
            end = {"exitCode": code, "reason": self._reason(code), "startedAt": begun, "finishedAt": now()}
            self.logs[-1].close()
            if not code or self.restarts >= _BACK_OFF_LIMIT or self._stopping.is_set():
                self._say("Failed" if code else "Succeeded", {"terminated": end}, {})
                self.code = code
                return
            self.restarts += 1
            waits = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}
            self._say("Running", waits, {"terminated": end})
            self._last = {"terminated": end}
            self.logs.append(Log())
            self._stopping.wait(_BACK_OFF_SECONDS if self.restarts > 1 else 0.0)

    _last: Json = {}  # noqa: RUF012
    _begun = ""

    def _run(self) -> int:
        container = next(each for each in self.manifest["spec"]["containers"] if each["name"] == "node")
        self._begun = now()
        self._process = subprocess.Popen(
            [expand(word, self._environment) for word in container["command"]],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._say("Running", {"running": {"startedAt": self._begun}}, self._last)
        if self._stopping.is_set():
            self.kill(signal.SIGTERM)
        assert self._process.stdout
        for line in self._process.stdout:
            self.logs[-1].write(line)
        code = self._process.wait()
        self.kill()
        return code if code >= 0 else 128 - code

    def _reason(self, code: int) -> str:
        return "OOMKilled" if code == 137 and not self._stopping.is_set() else "Error" if code else "Completed"

    def _say(self, phase: str, state: Json, last: Json) -> None:
        container = {"name": "node", "state": state, "lastState": last, "restartCount": self.restarts}
        self.manifest["status"] = {"phase": phase, "containerStatuses": [container]}
