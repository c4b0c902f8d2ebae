"""Send messages to webhooks. A webhook that fails fails no run: it is told in one line, which never has its address."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..core.retry_after import as_asked, seconds_asked
from ..storage.store import Store
from .messages import Message
from .settings import Webhook

if TYPE_CHECKING:
    import requests

_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 10.0
_ATTEMPTS, _LONGEST_WAIT = 4, 20.0
_PASSING = (408, 409, 425, 429)
"""Statuses below 500 that a later attempt may not get."""
_SENT = "report/notified"
"""Folder of a run root: an object for each message that a webhook has taken."""


class _Failed(Exception):
    """A message was not taken; says why, in words without the address."""


class _Passing(_Failed):
    """A failure that may pass; `wait` is what the server asks to wait for, in seconds."""

    def __init__(self, said: str, wait: float | None = None) -> None:
        super().__init__(said)
        self.wait = wait


def notify(webhooks: Sequence[Webhook], messages: Sequence[Message], store: Store | None) -> list[str]:
    """Send each message to the webhooks that are told of its event, once; a line for each that did not take it.

    `store` is where it is noted what was taken, the run root's; None: nowhere. Of a process that dies between the
    sending and the note, the successor sends again, under the same id.
    """
    lines = []
    for webhook in webhooks:
        for message in messages:
            if message.event in webhook.events and (why := _told(webhook, message, store)):
                lines.append(f"the webhook {webhook.url_variable} was not told of {message.event}: {why}")
    return lines


def unset(webhooks: Sequence[Webhook]) -> list[str]:
    """The variables of webhooks that are not set in this process's environment."""
    return sorted({webhook.url_variable for webhook in webhooks if not os.environ.get(webhook.url_variable)})


def _told(webhook: Webhook, message: Message, store: Store | None) -> str:
    """Why a message was not taken; empty if it was, now or before."""
    key = f"{_SENT}/{message.id}-{webhook.kind}-{webhook.url_variable}.json"
    try:
        if store and store.exists(key):
            return ""
        _send(os.environ.get(webhook.url_variable, "").strip(), webhook.body(message))
        if store:
            store.create(key, b"{}")
    except _Failed as error:
        return str(error)
    except Exception as error:  # whatever fails, and however it words that: the address may be in its words
        return type(error).__name__
    return ""


def _send(url: str, body: Mapping[str, Any]) -> None:
    import tenacity

    if not url:
        raise _Failed("the variable is not set; on a cluster, cluster.secrets gives it to the steps")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise _Failed("its value is no http or https address")
    tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=as_asked(_LONGEST_WAIT),
        retry=tenacity.retry_if_exception_type(_Passing),
        reraise=True,
    )(_post, url, body)


def _post(url: str, body: Mapping[str, Any]) -> None:
    import requests

    logging.getLogger("urllib3").setLevel(logging.INFO)  # at DEBUG it writes the paths of addresses
    host = urlsplit(url).hostname
    try:
        # The body of the answer is not read: nothing that it says is needed, and it may repeat the address.
        with requests.post(
            url,
            json=body,
            auth=_user(url),
            timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as answer:
            status, headers = answer.status_code, answer.headers
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Passing(f"{host} does not answer ({type(error).__name__}), {_ATTEMPTS} times") from None
    except (requests.RequestException, ValueError) as error:
        raise _Failed(f"its value is no address that can be asked ({type(error).__name__})") from None
    if status >= 500 or status in _PASSING:
        wait = seconds_asked(headers.get("Retry-After", ""), _LONGEST_WAIT)
        raise _Passing(f"{host} answers {status}, {_ATTEMPTS} times", wait)
    if 300 <= status < 400:
        to = urlsplit(headers.get("Location", "")).hostname or "elsewhere on it"
        raise _Failed(f"{host} answers {status} and leads to {to}, where nothing is sent: set the variable to the end")
    if status >= 400:
        raise _Failed(f"{host} answers {status}: set the variable to an address that takes messages")


def _user(url: str) -> Any:
    """The user and the password in an address; or what keeps requests from those in the user's .netrc."""
    import requests

    user = requests.utils.get_auth_from_url(url)

    def none(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        return request

    return user if any(user) else none
