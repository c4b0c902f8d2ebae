"""The Kubernetes API for the checks: with short timeouts, and errors in one line."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config

from nashflow.components.core.errors import one_line

from ..cluster.api.access import Access
from ..cluster.api.failures import explain

_SECONDS = (5.0, 20.0)  # to connect, and to wait for an answer
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_HOW = "name a context with --kube-context, set KUBECONFIG, or run this in a pod of the cluster"


class NotTried(Exception):
    """A check could not be made: the reason, and the prerequisite."""

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(why)
        self.advice = advice


@dataclass(frozen=True)
class Cluster:
    """An open connection to the Kubernetes API."""

    api: Any
    namespace: str
    version: str

    @property
    def core(self) -> Any:
        """The API of pods, secrets, nodes and the like."""
        return client.CoreV1Api(self.api)

    def read(self, what: str, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any | None:
        """The result of an API method; None if the object does not exist.

        Raises:
            NotTried: who asks may not look at it. ConnectionError: the API does not answer.
        """
        try:
            return method(*arguments, **options, _request_timeout=_SECONDS)
        except client.ApiException as error:
            if error.status == 404:
                return None
            if error.status in (401, 403):
                raise NotTried(f"not allowed to get {what}: {explain(error)}", _allow(what)) from None
            raise ConnectionError(f"Kubernetes API: {what}: {explain(error)}") from None
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(f"Kubernetes API: {explain(error)}") from None

    def may(self, right: "Right", user: str = "") -> bool:
        """Whether the current user, or another one, has a right in the namespace.

        Raises:
            NotTried: who asks may not ask that.
        """
        attributes = client.V1ResourceAttributes(
            namespace=self.namespace,
            group=right.group,
            resource=right.resource,
            subresource=right.subresource,
            verb=right.verb,
            name=right.name,
        )
        api = client.AuthorizationV1Api(self.api)
        if not user:
            spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
            body = client.V1SelfSubjectAccessReview(spec=spec)
            answer = self.read("its own rights", api.create_self_subject_access_review, body)
        else:
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{self.namespace}", "system:authenticated"]
            spec = client.V1SubjectAccessReviewSpec(resource_attributes=attributes, user=user, groups=groups)
            body = client.V1LocalSubjectAccessReview(spec=spec)
            # That of the namespace: a Role may allow it.
            review = api.create_namespaced_local_subject_access_review
            answer = self.read(f"the rights of {user}", review, self.namespace, body)
        return bool(answer and answer.status.allowed)


@dataclass(frozen=True)
class Right:
    """The rights of a user in the namespace."""

    group: str
    resource: str
    verb: str
    name: str | None = None
    subresource: str | None = None

    def __str__(self) -> str:
        kind = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        where = f"{kind}.{self.group}" if self.group else kind
        return f"{self.verb} {where}" + (f"/{self.name}" if self.name else "")


def _allow(what: str) -> str:
    return f"ask for the right to get {what} (role view or edit in the namespace), or look with an administrator"


def open_cluster(access: Access) -> Cluster:
    """Connect to the Kubernetes API: of the given context, or of the pod that this is, or of the current context.

    Raises:
        NotTried: there is no such way. ConnectionError: the API does not answer.
    """
    configuration, namespace = _configuration(access.kube_context)
    configuration.retries = False
    api = client.ApiClient(configuration)
    try:
        version = client.VersionApi(api).get_code(_request_timeout=_SECONDS).git_version
    except client.ApiException as error:
        raise ConnectionError(f"{configuration.host} refuses: {explain(error)}: sign in to the cluster again") from None
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        why = f"{configuration.host} does not answer: {explain(error)}"
        raise ConnectionError(f"{why}: check the kube context and the network") from None
    return Cluster(api, access.namespace or namespace or "kubeflow", version)


def _configuration(context: str) -> tuple[Any, str]:
    """How to reach the API, and the namespace that goes with that way."""
    configuration = client.Configuration()
    if not context and "KUBERNETES_SERVICE_HOST" in os.environ:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException as error:
            advice = "set automountServiceAccountToken, or name a context with --kube-context"
            raise NotTried(f"this pod has no service account: {one_line(error)}", advice) from None
        return configuration, _POD_NAMESPACE.read_text(encoding="utf-8").strip() if _POD_NAMESPACE.exists() else ""
    try:
        contexts, current = config.list_kube_config_contexts()
        config.load_kube_config(context=context or None, client_configuration=configuration)
    except (config.ConfigException, OSError, TypeError) as error:
        raise NotTried(f"no way to the Kubernetes API: {one_line(error)}", _HOW) from None
    chosen = next((each for each in contexts if each["name"] == context), current)
    return configuration, chosen["context"].get("namespace", "")
