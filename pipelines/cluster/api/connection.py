"""The connection to the Kubeflow Pipelines API: who asks, what is asked again, and what its failures mean."""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import kfp.client
import tenacity

from nashflow.components.core.errors import UserError, one_line
from nashflow.components.core.redaction import redact
from nashflow.components.core.settings import nearest

from .access import Access
from .failures import FAILURES, explain, status, transient, unsent
from .repeating import repeating

_IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
_SECONDS = (10.0, 60.0)  # to connect, and to wait for an answer
_PAGE = 100
_PATIENCE_SECONDS = 20.0
_REFUSALS = 3


class NotFound(UserError):
    """The server knows no such thing."""


class _Client(kfp.client.Client):  # type: ignore[misc]
    """KFP's client without its own loops: repeating is ours, and a read-only home is fine."""

    def __init__(self, host: str, **options: Any) -> None:
        self._given = host
        super().__init__(host=host or None, **options)

    def _load_config(self, _host: Any, *arguments: Any, **options: Any) -> Any:
        # `_host` may be the environment's, which a kube context has overruled.
        config = super()._load_config(self._given, *arguments, **options)
        config.retries = False  # redirects too: they lead to a login page
        if (refresh := config.refresh_api_key_hook) and self._KUBE_PROXY_PATH.partition("{")[0] in config.host:
            host = config.host.rstrip("/")

            def refresh_token_alone(configuration: Any) -> None:
                # A kubeconfig's hook also takes the host back to Kubernetes' own (kubeflow/pipelines#8313), and puts
                # itself in the place of this one.
                refresh(configuration)
                configuration.host, configuration.refresh_api_key_hook = host, refresh_token_alone

            config.refresh_api_key_hook = refresh_token_alone
        return config

    def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
        return _repeated(self._healthz_api.healthz_service_get_healthz, _PATIENCE_SECONDS, refreshed=False)

    def set_user_namespace(self, namespace: str) -> None:
        self._context_setting["namespace"] = namespace


@dataclass(frozen=True)
class Connection:
    """An open connection: KFP's client, and how long its calls put up with a server that is away."""

    access: Access
    client: Any
    patience: float
    """Seconds."""

    @property
    def namespace(self) -> str | None:
        """The user's namespace; None in single-user deployments."""
        return self.access.namespace or self.client.get_user_namespace() or None

    def call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method of the API that may be repeated, for as long as the server is away and patience lasts.

        Raises:
            UserError: the server refuses it. ConnectionError: the server stays away.
        """
        refreshed = bool(self.access.token_file or self.access.through_kubernetes)
        try:
            return _repeated(method, self.patience, refreshed, *arguments, **options)
        except FAILURES as error:
            raise self.translated(error) from None

    def send(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method that must not be repeated; only a request that surely never arrived is sent again.

        Raises:
            kfp_server_api.ApiException, urllib3.exceptions.HTTPError: what happened, for the caller to judge.
        """
        return repeating(self.patience, unsent, _Refused())(_once, method, *arguments, **options)

    def find(self, method: Callable[..., Any], field: str, name: str, **options: Any) -> list[Any]:
        """Everything that a listing method of the API knows under exactly this display name."""
        predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
        # The server unescapes the filter once more than HTTP does.
        text = quote(json.dumps({"predicates": [predicate]}))
        # Its database compares without regard to case.
        return [item for item in self.every(method, field, filter=text, **options) if item.display_name == name]

    def every(self, method: Callable[..., Any], field: str, **options: Any) -> Iterator[Any]:
        """All pages of a listing method of the API."""
        token = ""
        while True:
            answer = self.call(method, page_token=token, page_size=_PAGE, **options)
            yield from getattr(answer, field) or ()
            token = answer.next_page_token
            if not token:
                return

    def link(self, run_id: str) -> str:
        """The run's page in the user interface, or how to find it."""
        # Inside the cluster the host is the API server itself, which has no pages.
        served = urlsplit(self.access.host).hostname or ""
        host = "" if served.partition(".")[0] == "ml-pipeline" else self.access.host
        interface = os.environ.get("KF_PIPELINES_UI_ENDPOINT") or host
        return f"{redact(interface).rstrip('/')}/#/runs/details/{run_id}" if interface else f"run {run_id}"

    def translated(self, error: Exception) -> Exception:
        """The error as the user's to mend, or as a server that is away: one line."""
        code, said = status(error), explain(error)
        if code == 401:
            return UserError(f"{self.access}: your credentials are not accepted (401): {self._how_to_sign_in()}")
        if code == 403:
            return UserError(
                f"{self.access}: not allowed: {said}: ask for the role kubeflow-edit in the namespace, "
                "or name another one with --namespace"
            )
        if 300 <= code < 400:
            return UserError(f"{self.access}: leads to a login page ({code}): {self._how_to_sign_in()}")
        if code == 404:
            return NotFound(f"{self.access}: {said}")
        if 400 <= code < 500 and code != 429:
            return UserError(f"{self.access}: {said}")
        if isinstance(error, ValueError):
            return UserError(f"{self.access}: no URL of a server: {said}")
        if "CERTIFICATE_VERIFY_FAILED" in said:
            return UserError(f"{self.access}: its certificate is not trusted: give the authority's with --ca-cert")
        return ConnectionError(f"{self.access}: no answer: {said}: check --host and the network, or try again later")

    def _how_to_sign_in(self) -> str:
        if self.access.through_kubernetes:
            return f"sign in to the kube context {self.access.kube_context} again"
        if self.access.token:
            return (
                "the token has expired or is of another server: give a new one with --token, or a file that is kept "
                "fresh with --token-file, which is read again at every call"
            )
        if self.access.token_file:
            return (
                f"{self.access.token_file} was read again and is refused as well: see that the projected token has "
                "the audience pipelines.kubeflow.org and that the kubelet still renews it"
            )
        return "give --token, --token-file or --kube-context"


def connect(access: Access) -> Connection:
    """Open a connection; in a pod without a host, to the cluster's own API server.

    Raises:
        UserError: no host, no such kube context, a file that cannot be read. ConnectionError: the server stays away.
    """
    access = _completed(access)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    credentials = kfp.client.ServiceAccountTokenVolumeCredentials(access.token_file) if access.token_file else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            client = _Client(
                access.host,
                # Beside a kube context this would name the namespace of the API server.
                namespace="kubeflow" if access.through_kubernetes else access.namespace or "kubeflow",
                existing_token=access.token or None,
                credentials=credentials,
                kube_context=access.kube_context if access.through_kubernetes else None,
                ssl_ca_cert=access.ca_cert or None,
            )
        except FAILURES as error:
            raise Connection(access, None, 0.0).translated(error) from None
    return Connection(access, client, _PATIENCE_SECONDS)


def _completed(access: Access) -> Access:
    """The access with what it leaves to its defaults; checked as far as no server is needed."""
    if access.kube_context:
        _check_context(access.kube_context)
    if access.through_kubernetes:
        return replace(access, token="", token_file="")
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    host = (access.host or (_IN_CLUSTER if in_pod else "")).rstrip("/")
    if not host:
        raise UserError("no API server: give --host, set KF_PIPELINES_ENDPOINT, or name a --kube-context")
    if not host.startswith(("http://", "https://")):
        raise UserError(f"--host {redact(host)}: no URL: write https://{host}, or http://{host} for a forwarded port")
    projected = kfp.client.KF_PIPELINES_SA_TOKEN_PATH
    file = "" if access.token else access.token_file or (projected if Path(projected).exists() else "")
    for option, path in (("--token-file", file), ("--ca-cert", access.ca_cert)):
        if path and not os.access(path, os.R_OK):
            raise UserError(f"{option} {path}: no file that can be read")
    return replace(access, host=host, token_file=file)


def _check_context(name: str) -> None:
    from kubernetes import config

    try:
        known = [context["name"] for context in config.list_kube_config_contexts()[0]]
    except config.ConfigException as error:
        raise UserError(f"--kube-context {name}: {one_line(error)}") from None
    if name not in known:
        raise UserError(f"--kube-context {name}: unknown" + nearest(name, known))


def _repeated(method: Callable[..., Any], patience: float, refreshed: bool, *arguments: Any, **options: Any) -> Any:
    """Call until there is an answer; with credentials that are `refreshed`, a refusal may be an old one's."""

    def worth_it(error: BaseException) -> bool:
        return transient(error) or (refreshed and isinstance(error, Exception) and status(error) == 401)

    return repeating(patience, worth_it, _Refused())(_once, method, *arguments, **options)


class _Refused(tenacity.stop.stop_base):
    """Stop at the third refusal in a row."""

    def __init__(self) -> None:
        self.refusals = 0

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        self.refusals = self.refusals + 1 if isinstance(error, Exception) and status(error) == 401 else 0
        return self.refusals >= _REFUSALS


def _once(method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        answer = method(*arguments, _request_timeout=_SECONDS, **options)
    except AttributeError as error:
        # The generated client decodes the body of an error that has none: an untrusted certificate.
        if isinstance(error.__context__, FAILURES):
            raise error.__context__ from None
        raise
    kind = method.__self__.api_client.last_response.getheader("Content-Type") or ""  # type: ignore[attr-defined]
    if "json" not in kind:
        # The generated client makes an empty object of any page.
        raise UserError(
            f"the server answers with {kind or 'something'} instead of JSON, which is no API of Kubeflow Pipelines: "
            "see whether --host leads to a login page or lacks its /pipeline"
        )
    return answer
