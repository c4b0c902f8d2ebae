"""The Kubernetes API as the pod of a step reaches it: its own pod, one TrainJob, and the pods of that."""

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from ....core.errors import TryAgain, UserError, one_line
from ....runtime.jobs import NAMESPACE, POD

Json = dict[str, Any]

CONTAINER = "node"
"""The container of Trainer's runtimes that trains."""
JOB_LABEL = "jobset.sigs.k8s.io/jobset-name"

_GROUP, _VERSION = "trainer.kubeflow.org", "v1alpha1"
_API_VERSION = f"{_GROUP}/{_VERSION}"
_SECONDS = (5.0, 30.0)  # to connect, and to wait for an answer
_SILENT_SECONDS = 120.0  # steps speak every 30 seconds
_PATIENCE_SECONDS = 300.0
_TRANSIENT = (429, 500, 502, 503, 504)
_OTHERWISE = "or set training.launcher to torchrun, which trains in the step's own pod"


class _NotAllowed(UserError):
    """The service account of this pod lacks a right."""


class Api:
    """The API, as the service account of this pod may use it.

    Every method waits up to five minutes for an API that is away, and then raises TryAgain.
    """

    def __init__(self) -> None:
        """Raises UserError where this is no pod of a step that trains by TrainJobs."""
        from kubernetes import client, config

        if POD not in os.environ or NAMESPACE not in os.environ:
            raise UserError(
                "training.launcher: trainjob needs a run on Kubeflow, and this is none: submit the recipe, or set "
                "training.launcher to torchrun or process"
            )
        configuration = client.Configuration()
        if "KUBECONFIG" in os.environ:
            config.load_kube_config(os.environ["KUBECONFIG"], client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
        configuration.retries = False
        api = client.ApiClient(configuration)
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self.pod, self.namespace = os.environ[POD], os.environ[NAMESPACE]

    def own_pod(self) -> Json:
        """The pod that this is."""
        found = self._call("get pods", self._core.read_namespaced_pod, self.pod, self.namespace)
        if found is None:
            raise TryAgain(f"the pod {self.pod} is not known in {self.namespace} any more")
        return found

    def runtime(self, name: str) -> Json:
        """The reference to the TrainingRuntime of a name in the namespace, or else to the cluster's.

        Raises:
            UserError: neither is there, as far as this pod may see.
        """
        own = self._names(self._custom.list_namespaced_custom_object, *self._of("trainingruntimes"))
        cluster = self._names(self._custom.list_cluster_custom_object, _GROUP, _VERSION, "clustertrainingruntimes")
        if own and name in own:
            return {"apiGroup": _GROUP, "kind": "TrainingRuntime", "name": name}
        if cluster is None or name in cluster:
            return {"apiGroup": _GROUP, "kind": "ClusterTrainingRuntime", "name": name}
        there = ", ".join([*(own or ()), *cluster]) or "none"
        raise UserError(
            f"training.launcher.runtime: neither {self.namespace} nor the cluster has a training runtime {name}; there "
            f"are {there}: set one for torch, or let an administrator install it"
        )

    def _names(self, listing: Callable[..., Any], *where: str) -> list[str] | None:
        """The names of the runtimes of a kind; None where this pod may not see them."""
        try:
            listed = self._call(f"list {where[-1]}", listing, *where)
        except _NotAllowed:
            return None
        if listed is None:
            raise UserError(
                f"this cluster does not serve {_API_VERSION}: install Kubeflow Trainer 2.2 or newer, {_OTHERWISE}"
            )
        return [str(item["metadata"]["name"]) for item in listed["items"]]

    def job(self, name: str) -> Json | None:
        """A TrainJob; None where there is none."""
        return self._call("get trainjobs", self._custom.get_namespaced_custom_object, *self._of("trainjobs"), name)

    def create(self, job: Json) -> str:
        """Make a TrainJob, unless there is one of its name; its UID, empty where there is one.

        Raises:
            UserError: Trainer, or the cluster, refuses it.
        """
        body = {"apiVersion": _API_VERSION, "kind": "TrainJob", **job}
        make = self._custom.create_namespaced_custom_object
        # Without `Strict`, an older Trainer would drop the fields that it does not know, and train something else.
        made = self._call("create trainjobs", make, *self._of("trainjobs"), body, field_validation="Strict")
        return str(made["metadata"]["uid"]) if made else ""

    def delete(self, name: str, identity: str, patience: float | None = None) -> None:
        """Begin to delete the TrainJob of this name and UID, if it is there: it stays until its pods have ended.
        Without a UID, whichever has the name."""
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
        if identity:
            options["preconditions"] = {"uid": identity}
        remove = self._custom.delete_namespaced_custom_object
        self._call("delete trainjobs", remove, *self._of("trainjobs"), name, body=options, patience=patience)

    def pods(self, name: str) -> list[Json]:
        """The pods of a TrainJob."""
        selector = f"{JOB_LABEL}={name}"
        listed = self._call("list pods", self._core.list_namespaced_pod, self.namespace, label_selector=selector)
        return list(listed["items"]) if listed else []

    def warnings(self, name: str) -> list[str]:
        """The messages of the events that warn of a TrainJob, the newest last."""
        selector = f"involvedObject.name={name},type=Warning"
        listed = self._call("list events", self._core.list_namespaced_event, self.namespace, field_selector=selector)
        return [one_line(event.get("message") or "") for event in listed["items"]] if listed else []

    def stream(self, pod: str, since: int | None) -> Iterator[str]:
        """The lines of a pod's log, each after its time, from `since` seconds ago until it or the connection ends.

        Raises what the Kubernetes client does.
        """
        options = {"follow": True, "timestamps": True, **({"since_seconds": since} if since else {})}
        answer = self._log(pod, _request_timeout=(_SECONDS[0], _SILENT_SECONDS), **options)
        rest = b""
        try:
            for chunk in answer.stream(decode_content=False):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
        finally:
            answer.close()
        if rest:
            yield rest.decode(errors="replace")

    def last_line(self, pod: str, restarted: bool) -> str:
        """The last line that a pod's container has written, or that before it, where it was started again; empty where
        that is not to be had."""
        from kubernetes import client
        from urllib3.exceptions import HTTPError

        try:
            text = self._log(pod, _request_timeout=_SECONDS, tail_lines=20, previous=restarted).data
        except (client.ApiException, HTTPError):
            return ""
        return next((line for line in reversed(text.decode(errors="replace").splitlines()) if line.strip()), "")

    def _log(self, pod: str, **options: Any) -> Any:
        read = self._core.read_namespaced_pod_log
        return read(pod, self.namespace, container=CONTAINER, _preload_content=False, **options)

    def _of(self, kind: str) -> tuple[str, str, str, str]:
        return _GROUP, _VERSION, self.namespace, kind

    def _call(
        self, right: str, method: Callable[..., Any], *arguments: Any, patience: float | None = None, **options: Any
    ) -> Json | None:
        """The answer to a call that needs a right; None where the object does not exist, or exists already."""
        import tenacity
        from kubernetes import client
        from urllib3.exceptions import HTTPError

        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_transient),
            wait=tenacity.wait_exponential_jitter(initial=0.5, max=10.0, jitter=0.5),
            stop=tenacity.stop_after_delay(_PATIENCE_SECONDS if patience is None else patience),
            reraise=True,
        )
        try:
            # The client's own models take long, and refuse what they do not know.
            answer = again(method, *arguments, _preload_content=False, _request_timeout=_SECONDS, **options)
        except client.ApiException as error:
            if error.status in (404, 409):
                return None
            raise self._refusal(right, error) from None
        except HTTPError as error:
            raise TryAgain(f"the Kubernetes API does not answer: {one_line(error)}") from None
        return dict(json.loads(answer.data))

    def _refusal(self, right: str, error: Any) -> Exception:
        """What an answer that is an error means for the user."""
        said = _message(error)
        if error.status in _TRANSIENT:
            return TryAgain(f"the Kubernetes API does not answer: {said} ({error.status})")
        if "unknown field" in said:
            return UserError(
                f"Kubeflow Trainer of this cluster is older than 2.2 and cannot run this TrainJob ({said}): let an "
                f"administrator install 2.2 or newer, {_OTHERWISE}"
            )
        if error.status == 401 or re.search(r"cannot \w+ resource", said):
            return _NotAllowed(
                f"training.launcher: the step's service account may not {right} in {self.namespace} ({said}): install "
                f"the chart with trainer.enabled=true and set cluster.service_account to its account, {_OTHERWISE}"
            )
        return UserError(f"the cluster refuses to {right} for this training: {said}")


def _transient(error: BaseException) -> bool:
    from kubernetes import client
    from urllib3.exceptions import HTTPError

    if isinstance(error, client.ApiException):
        return error.status in _TRANSIENT
    return isinstance(error, HTTPError)


def _message(error: Any) -> str:
    """The message in the body of an answer that is an error, in one line."""
    try:
        return one_line(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return one_line(error.reason)
