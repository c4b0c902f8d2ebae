"""A Kubernetes API server on a loopback port: pods, their events and logs, which may be followed, and workflows."""

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Json = dict[str, Any]
_WHERE = r"/api/v1/namespaces/(?P<namespace>[\w-]+)"
_JOBS = r"/apis/trainer.kubeflow.org/v1alpha1/namespaces/(?P<namespace>[\w-]+)/trainjobs"
_WORKFLOWS = r"/apis/argoproj.io/v1alpha1/namespaces/(?P<namespace>[\w-]+)/workflows"


@dataclass
class Log:
    """What a container has written until now, each line with its time; a reader may lose its connection."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    ended: bool = False
    cuts: int = 0
    """How many connections break after the next line."""

    def write(self, *texts: str, stamp: str = "") -> None:
        """Add lines; each at a time of its own unless one is given."""
        for text in texts:
            self.lines.append((stamp or f"2026-08-21T03:00:{len(self.lines):02}.000000000Z", text))


class PodServer:
    """The server. What the lists hold is answered as it is: change it, and the next answer has changed."""

    def __init__(self, folder: Path) -> None:
        self.pods: list[Json] = []
        self.events: list[Json] = []
        self.workflows: list[Json] = []
        self.jobs: list[Json] = []
        """TrainJobs."""
        self.logs: dict[str, Log] = {}
        """By a pod's uid."""
        self.forbidden = ""
        """A pattern of paths."""
        self.seen: list[str] = []
        handler = type("Handler", (_Handler,), {"cluster": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        self.kubeconfig = folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def stop(self) -> None:
        """End it, and whoever reads a log."""
        for log in self.logs.values():
            log.ended = True
        self._http.shutdown()
        self._http.server_close()

    def add(self, pod: Json, *lines: str) -> Json:
        """A pod, and what it has written."""
        self.pods.append(pod)
        self.logs[pod["metadata"]["uid"]] = log = Log(ended="terminated" in str(pod["status"]))
        log.write(*lines)
        return pod

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Status and body."""
        if self.forbidden and re.search(self.forbidden, path):
            return _refusal(403, f'{path} is forbidden: User "me" cannot do that')
        if match := re.fullmatch(rf"{_WHERE}/pods", path):
            return 200, {"items": self._selected(self.pods, match["namespace"], query)}
        if match := re.fullmatch(rf"{_WHERE}/events", path):
            name = query["fieldSelector"].removeprefix("involvedObject.name=")
            return 200, {"items": [event for event in self.events if event["involvedObject"]["name"] == name]}
        if match := re.fullmatch(_WORKFLOWS, path):
            return 200, {"items": self._selected(self.workflows, match["namespace"], query)}
        if (match := re.fullmatch(rf"{_WHERE}/pods/([\w-]+)(?P<log>/log)?", path)) and (pod := self._pod(match[2])):
            return self._log(pod, query) if match["log"] else (200, pod)
        if match := re.fullmatch(_JOBS, path):
            return 200, {"items": self._selected(self.jobs, match["namespace"], query)}
        if match := re.fullmatch(rf"{_JOBS}/(?P<name>[\w-]+)", path):
            self.jobs = [job for job in self.jobs if job["metadata"]["name"] != match["name"]]
            return 200, {}
        return _refusal(404, f"{path} not found")

    def _selected(self, items: list[Json], namespace: str, query: dict[str, str]) -> list[Json]:
        key, _, value = query["labelSelector"].partition("=")
        found = [
            item
            for item in items
            if item["metadata"]["namespace"] == namespace and item["metadata"]["labels"].get(key) == value
        ]
        if selector := query.get("fieldSelector"):
            operator, phase = re.fullmatch(r"status\.phase(!?=)(\w+)", selector).groups()  # type: ignore[union-attr]
            found = [item for item in found if (item["status"]["phase"] == phase) == (operator == "=")]
        return found

    def _pod(self, name: str) -> Json | None:
        return next((pod for pod in reversed(self.pods) if pod["metadata"]["name"] == name), None)

    def _log(self, pod: Json, query: dict[str, str]) -> tuple[int, Any]:
        assert query["container"] == "main"
        log = self.logs.setdefault(pod["metadata"]["uid"], Log())
        if not any("waiting" not in status["state"] for status in pod["status"].get("containerStatuses", ())):
            return _refusal(400, f'container "main" in pod "{pod["metadata"]["name"]}" is waiting to start')
        if query.get("follow", "").lower() == "true":
            assert query["timestamps"].lower() == "true"
            return 200, self._followed(pod, log)
        return 200, "".join(f"{text}\n" for _, text in log.lines)

    def _followed(self, pod: Json, log: Log) -> Iterator[str]:
        """Lines as they come; the connection ends with the pod, or is cut."""
        position = 0
        while True:
            ended = log.ended or pod not in self.pods
            while position < len(log.lines):
                stamp, text = log.lines[position]
                position += 1
                yield f"{stamp} {text}\n"
                if log.cuts:
                    log.cuts -= 1
                    return
            if ended:
                return
            time.sleep(0.005)


def pod(run_id: str, node: str, phase: str = "Pending", name: str = "", **more: Any) -> Json:
    """A pod of a run, for a node of the graph; `state` of its main container, `status`, `spec`, `attempt`, and the
    graphs `around` it."""
    driver = node.endswith("-driver")
    attempt = more.get("attempt", 0)
    around = f"quickstart-x(0).root(0).run(0).{more.get('around', '')}"
    path = f"{node}({attempt})" if driver else f"{node}(0).executor({attempt})"
    main = {
        "name": "main",
        "image": "registry.example.com/kfp/driver:1" if driver else "registry.example.com/team/steps:1",
        "resources": {"limits": {"cpu": "2", "memory": "8Gi"}},
    }
    statuses = {"containerStatuses": [{"name": "main", "state": more["state"]}]} if "state" in more else {}
    name = name or f"{node}-{attempt}"
    return {
        "metadata": {
            "name": name,
            "uid": f"{name}-{more.get('uid', 1)}",
            "namespace": "kubeflow",
            "creationTimestamp": more.get("created", "2026-08-21T03:00:00Z"),
            "labels": {"pipeline/runid": run_id},
            "annotations": {"workflows.argoproj.io/node-name": f"{around}{path}"},
        },
        "spec": {"containers": [{"name": "wait"}, main], **more.get("spec", {})},
        "status": {"phase": phase, **statuses, **more.get("status", {})},
    }


def waiting(reason: str, message: str = "") -> Json:
    """The state of a container that waits."""
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def unschedulable(message: str) -> Json:
    """The status of a pod that no node takes."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"conditions": [condition]}


def event(pod: Json, reason: str, message: str, kind: str = "Warning", second: int = 0) -> Json:
    """Something that has happened to a pod."""
    return {
        "involvedObject": {"kind": "Pod", "name": pod["metadata"]["name"]},
        "type": kind,
        "reason": reason,
        "message": message,
        "lastTimestamp": f"2026-08-21T03:00:{second:02}Z",
    }


def workflow(run_id: str, **nodes: tuple[str, str]) -> Json:
    """The workflow of a run: phase and message by node that is to have a pod."""
    made = {}
    for name, (phase, message) in nodes.items():
        node = f"{name.replace('_', '-')}(0)"
        path = f"quickstart-x(0).root(0).{node if name.endswith('driver') else f'{node}.executor(0)'}"
        made[name] = {"name": path, "type": "Pod", "phase": phase, **({"message": message} if message else {})}
    metadata = {"name": "quickstart-x", "namespace": "kubeflow", "labels": {"pipeline/runid": run_id}}
    return {"metadata": metadata, "status": {"phase": "Running", "nodes": made}}


def _refusal(code: int, message: str) -> tuple[int, Json]:
    return code, {"kind": "Status", "status": "Failure", "code": code, "message": message}


class _Handler(BaseHTTPRequestHandler):
    cluster: PodServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.cluster.seen.append(url.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        code, answer = self.cluster.answer(url.path, query)
        if isinstance(answer, Iterator):
            self._stream(answer)
            return
        text = answer if isinstance(answer, str) else json.dumps(answer)
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_DELETE = do_GET

    def _stream(self, lines: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            data = line.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *arguments: Any) -> None:
        pass
