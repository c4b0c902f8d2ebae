"""The pods of a run, their events and their logs, and its workflow: what the Kubernetes API knows beyond KFP's."""

import base64
import gzip
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from kubernetes import client, config

from nashflow.components.core.errors import UserError, one_line

from ..api.access import Access
from ..api.connection import Connection
from ..api.failures import transient
from ..api.repeating import repeating
from ..runs.tasks import name_in

Json = dict[str, Any]

FAILED, NOT_DONE = "status.phase=Failed", "status.phase!=Succeeded"
"""Field selectors."""

_RUN = "pipeline/runid"
_NODE = "workflows.argoproj.io/node-name"
_MAIN = "main"
_SECONDS = (5.0, 30.0)  # to connect, and to wait for an answer
_SILENT_SECONDS = 120.0  # steps speak every 30 seconds


class Pods:
    """The pods of one run.

    Every method raises what the Kubernetes client does: ApiException where the API refuses, urllib3's HTTPError where
    it does not answer.
    """

    def __init__(self, api: client.ApiClient, namespace: str, run_id: str, patience: float, context: str) -> None:
        """`patience`: seconds to put up with an API that is away; `context`: the kube context; empty in a pod."""
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self.namespace, self._selector = namespace, f"{_RUN}={run_id}"
        self._patience = patience
        self.where = f"the namespace {namespace} of {f'the kube context {context}' if context else 'this cluster'}"

    def find(self, selector: str = "") -> list[Json]:
        """The pods, the oldest first; only those that a field selector finds, if one is given."""
        options = {"field_selector": selector} if selector else {}
        listed = self._get(self._core.list_namespaced_pod, self.namespace, label_selector=self._selector, **options)
        return sorted(listed["items"], key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def read(self, name: str) -> Json:
        """One pod as it is now."""
        return self._get(self._core.read_namespaced_pod, name, self.namespace)

    def events(self, name: str) -> list[Json]:
        """The events of a pod, the newest last; empty if the client may not read events."""
        selector = f"involvedObject.name={name}"
        listed = self._get_if_allowed(self._core.list_namespaced_event, self.namespace, field_selector=selector)
        return sorted(listed["items"], key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")

    def log(self, name: str, since: int | None = None) -> str:
        """The log of a pod until now, beginning `since` seconds ago."""
        options = {"since_seconds": since} if since else {}
        return str(self._call(self._log, name, **options).data.decode(errors="replace"))

    def stream(self, name: str, since: int | None) -> Iterator[tuple[str, str]]:
        """The log of a pod, each line with its time, beginning `since` seconds ago, until the pod or the connection
        ends."""
        options = {"since_seconds": since} if since else {}
        timeouts = (_SECONDS[0], _SILENT_SECONDS)
        answer = self._log(name, follow=True, timestamps=True, _request_timeout=timeouts, **options)
        rest = b""
        try:
            for chunk in answer.stream(decode_content=False):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from map(_stamped, lines)
        finally:
            answer.close()
        if rest:
            yield _stamped(rest)

    def workflow(self) -> Json:
        """The run's Argo workflow; empty where there is none any more, or the client may read pods alone."""
        where = ("argoproj.io", "v1alpha1", self.namespace, "workflows")
        listed = self._get_if_allowed(self._custom.list_namespaced_custom_object, *where, label_selector=self._selector)
        return next(iter(listed["items"]), {})

    def delete_train_jobs(self) -> list[str]:
        """Delete the run's TrainJobs; their names."""
        where = ("trainer.kubeflow.org", "v1alpha1", self.namespace, "trainjobs")
        listed = self._get(self._custom.list_namespaced_custom_object, *where, label_selector=self._selector)
        names = []
        for metadata in (job["metadata"] for job in listed["items"]):
            options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
            options["preconditions"] = {"uid": metadata["uid"]}
            try:
                self._get(self._custom.delete_namespaced_custom_object, *where, metadata["name"], body=options)
            except client.ApiException as error:
                if error.status not in (404, 409):  # it has gone since, or another one has its name
                    raise
            names.append(str(metadata["name"]))
        return names

    def _log(self, name: str, _request_timeout: Any = _SECONDS, **options: Any) -> Any:
        return self._core.read_namespaced_pod_log(
            name,
            self.namespace,
            container=_MAIN,
            _preload_content=False,
            _request_timeout=_request_timeout,
            **options,
        )

    def _get_if_allowed(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Json:
        try:
            return self._get(method, *arguments, **options)
        except client.ApiException as error:
            if error.status != 403:
                raise
            return {"items": []}

    def _get(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Json:
        # The client's own models take long, and refuse what they do not know.
        answer = self._call(method, *arguments, _preload_content=False, _request_timeout=_SECONDS, **options)
        read: Json = json.loads(answer.data)
        return read

    def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return repeating(self._patience, transient)(method, *arguments, **options)


def pods_of(connection: Connection, run_id: str, patience: float = 0.0) -> Pods:
    """The pods of a run, in the namespace that it was found in.

    Raises:
        UserError: there is no way to a Kubernetes API from here.
    """
    api, context = _api(connection.access)
    return Pods(api, connection.namespace or "kubeflow", run_id, patience, context)


def _api(access: Access) -> tuple[client.ApiClient, str]:
    """The Kubernetes API of the given context, or of the pod that this is, or of the current context; and its name."""
    try:
        if not access.kube_context:
            config.load_incluster_config()
            return client.ApiClient(), ""
    except config.ConfigException:
        pass
    try:
        context = access.kube_context or config.list_kube_config_contexts()[1]["name"]
        return config.new_client_from_config(context=context), context
    except config.ConfigException as error:
        raise UserError(f"pods are read through Kubernetes: name a --kube-context: {one_line(error)}") from None


def path_of(pod: Json) -> str:
    """The way through the graph to the node that a pod works for, the same for each of its attempts."""
    return re.sub(r"\(\d+\)", "", pod["metadata"].get("annotations", {}).get(_NODE, ""))


def node_of(pod: Json) -> str:
    """The node of the graph that a pod works for: a task's name, or that of a driver, which ends in -driver."""
    return node_at(path_of(pod))


def node_at(path: str) -> str:
    """The same of a way through the graph."""
    # The first one is the workflow's own, which may be called as a graph of shards is.
    names = [node.partition("(")[0] for node in path.split(".")][1:]
    *around, name = names[:-1] if names[-1:] == ["executor"] else names or [""]
    return next((inside for graph in around if (inside := name_in(graph, name)) != name), name)


def is_driver(pod: Json) -> bool:
    """Whether it is KFP's driver that runs in a pod, and no step."""
    return node_of(pod).endswith("-driver")


def main_container(pod: Json) -> Json:
    """The container that runs the step or the driver."""
    return next((part for part in pod["spec"]["containers"] if part["name"] == _MAIN), pod["spec"]["containers"][0])


def main_state(pod: Json) -> Json:
    """The state of that container: `waiting`, `running` or `terminated`, each with what is known; empty before all."""
    statuses = pod["status"].get("containerStatuses", ())
    return next((status.get("state", {}) for status in statuses if status["name"] == _MAIN), {})


def messages_of(workflow: Json, *phases: str) -> dict[str, str]:
    """Argo's messages about pod nodes in these phases, by the node's name."""
    status = workflow.get("status", {})
    nodes: dict[str, Json] = status.get("nodes") or {}
    if packed := status.get("compressedNodes"):
        nodes = json.loads(gzip.decompress(base64.b64decode(packed)))
    return {
        node_at(node["name"]): node["message"]
        for node in nodes.values()
        if node["type"] == "Pod" and node["phase"] in phases and node.get("message")
    }


def _stamped(line: bytes) -> tuple[str, str]:
    stamp, _, text = line.decode(errors="replace").rstrip("\r").partition(" ")
    return stamp, text
