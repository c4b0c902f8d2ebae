"""Failures between client and API server: which may be retried, and the one line for the user."""

import json
from typing import Any

import kfp_server_api
import kubernetes.client
from urllib3 import exceptions as transport

from nashflow.components.core.errors import one_line

ANSWERS = (kfp_server_api.ApiException, kubernetes.client.ApiException)
"""Answers that are errors, of KFP's API server and of Kubernetes."""
FAILURES = (kfp_server_api.ApiException, transport.HTTPError)
"""Exceptions of calls to KFP's API."""

_NOT_CONNECTED = (transport.ConnectTimeoutError, transport.ProxyError)
_AWAY = {502: "bad gateway", 503: "unavailable", 504: "gateway timeout"}
_CAUSES = {
    transport.NameResolutionError: "its name is not known",
    transport.NewConnectionError: "it cannot be connected to",
    transport.ConnectTimeoutError: "connecting takes too long",
    transport.ReadTimeoutError: "it does not answer in time",
    transport.ProxyError: "the proxy does not answer",
    transport.ProtocolError: "the connection broke",
}


def status(error: Exception) -> int:
    """The HTTP status of an answer that is an error; 0 where there was no answer."""
    return int(error.status or 0) if isinstance(error, ANSWERS) else 0


def unsent(error: BaseException) -> bool:
    """Whether the server surely did nothing: there was no connection, or it turned the request away."""
    return isinstance(error, _NOT_CONNECTED) or (isinstance(error, Exception) and status(error) == 429)


def transient(error: BaseException) -> bool:
    """Whether a call that may be repeated is worth repeating."""
    # An API server that has lost its database says 500 to everything until it is back.
    if isinstance(error, ANSWERS):
        return status(error) in (429, 500, *_AWAY)
    return isinstance(error, transport.HTTPError) and not isinstance(error, ValueError)


def timed_out(error: Exception) -> bool:
    """Whether the server may still be at work on the request."""
    return isinstance(error, transport.ReadTimeoutError) or status(error) == 504


def explain(error: Exception) -> str:
    """The message of the server, or of the connection to it, in one line."""
    if isinstance(error, ANSWERS):
        code = int(error.status or 0)
        said = _message(error.body) or _AWAY.get(code) or one_line(error.reason)
        return f"{said} ({code})" if code else said
    causes = (words for kind, words in _CAUSES.items() if isinstance(error, kind))
    return next(causes, one_line(error))


def _message(body: Any) -> str:
    """The message in an error's body, as the gateway, the upload handler and Kubernetes' proxy write it."""
    try:
        data = json.loads(body)
    except (TypeError, ValueError):
        return ""
    said = data.get("message") or data.get("error_message") or data.get("error") if isinstance(data, dict) else ""
    return one_line(said or "")
