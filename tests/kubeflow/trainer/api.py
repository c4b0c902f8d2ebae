"""The part of the Kubernetes API that concerns TrainJobs and their pods."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

from ..server.kubernetes import listed
from .jobs import API_VERSION, Trainer, refused
from .node import Node

_OURS = rf"/apis/{re.escape(API_VERSION)}"
_WORDS = {"GET": "get", "POST": "create", "DELETE": "delete"}


class TrainerApi:
    """Answers by path."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.served = True
        self.denied: set[str] = set()
        """Rights that the steps' account lacks, such as `create trainjobs`."""

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        """The answer to a request; None: it is for another part of the API.

        Raises:
            Refused: there is no such thing, or it is not allowed.
        """
        trainer, where = self.trainer, rf"/api/v1/namespaces/{self.trainer.namespace}"
        if path.startswith(f"/apis/{API_VERSION}"):
            return self._custom(method, path, query, body)
        if path == f"{where}/pods" and "jobset" in query.get("labelSelector", ""):
            self._allow("list", "pods", "")
            return listed("Pod", [node.manifest for node in trainer.nodes()], query)
        if (
            path == f"{where}/events"
            and query.get("fieldSelector", "").removeprefix("involvedObject.name=").split(",")[0] in trainer.jobs
        ):
            return listed("Event", trainer.events, query)
        if found := re.fullmatch(rf"{where}/pods/([^/]+)/log", path):
            for node in trainer.nodes():
                if node.name == found[1]:
                    return _log(node, query)
        return None

    def _custom(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        found = re.fullmatch(rf"{_OURS}(?:/namespaces/{self.trainer.namespace})?/(\w+)(?:/([^/]+))?", path)
        if not self.served or not found:
            raise refused(404, "NotFound", "the server could not find the requested resource")
        kind, name = found[1], found[2]
        self._allow(_WORDS[method] if name or method != "GET" else "list", kind, "trainer.kubeflow.org")
        if kind != "trainjobs":
            held = self.trainer.runtimes[kind]
            if name and name not in held:
                raise refused(404, "NotFound", f'{kind}.trainer.kubeflow.org "{name}" not found')
            items = [{"metadata": {"name": each}, "spec": spec} for each, spec in held.items()]
            return next(item for item in items if item["metadata"]["name"] == name) if name else listed(kind, items, {})
        if method == "POST":
            return self.trainer.create(json.loads(body), query.get("fieldValidation") == "Strict")
        if method == "DELETE":
            options = json.loads(body)
            assert options["propagationPolicy"] == "Foreground"
            return self.trainer.delete(name, options.get("preconditions", {}).get("uid", ""))
        jobs = [job.manifest for job in list(self.trainer.jobs.values())]
        return self.trainer.job(name).manifest if name else listed("TrainJob", jobs, query)

    def _allow(self, verb: str, kind: str, group: str) -> None:
        if f"{verb} {kind}" in self.denied:
            user = f"system:serviceaccount:{self.trainer.namespace}:nashflow-runner"
            what = f'cannot {verb} resource "{kind}" in API group "{group}" in the namespace "{self.trainer.namespace}"'
            raise refused(403, "Forbidden", f'{kind}.{group} is forbidden: User "{user}" {what}')


def _log(node: Node, query: dict[str, str]) -> Iterator[bytes]:
    flags = {key: query.get(key, "").lower() == "true" for key in ("follow", "timestamps", "previous")}
    if not node.manifest["status"].get("containerStatuses"):
        raise refused(400, "BadRequest", f'container "node" in pod "{node.name}" is waiting to start')
    since = time.time() - int(query["sinceSeconds"]) if "sinceSeconds" in query else None
    log = node.logs[-2 if flags["previous"] else -1]
    return log.read(flags["follow"], flags["timestamps"], since)
