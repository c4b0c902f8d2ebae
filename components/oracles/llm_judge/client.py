"""Calls of an OpenAI-compatible server (`/chat/completions`), tried again where that may help."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import TryAgain, UserError, one_line
from ...core.redaction import redact
from ...core.retry_after import as_asked, seconds_asked

if TYPE_CHECKING:
    import requests

_PASSING = (408, 409, 425, 429)
"""Statuses below 500 that a later call may not get."""
_LONGEST_WAIT = 60.0
_SAID = 300
"""Characters of a server's message that are shown."""


@dataclass(frozen=True)
class Answer:
    """What a judge has answered."""

    text: str
    finish: str
    """stop, length where it was cut, or content_filter."""
    input_tokens: int
    output_tokens: int
    top: Sequence[tuple[str, float]] = ()
    """The likeliest tokens at the first place, with their log-probabilities, if they were asked for."""
    refused: bool = False
    """The server or the model refused to answer."""
    too_long: bool = False
    """The messages are longer than the model reads; nothing was answered."""


class _Passing(Exception):
    """A failure that may pass; `wait` is what the server asks to wait for, in seconds."""

    def __init__(self, said: object, wait: float | None = None) -> None:
        super().__init__(redact(one_line(said))[:_SAID])
        self.wait = wait


class Client:
    """Asks one server. Threads share it."""

    def __init__(self, url: str, key: str, timeout: float, attempts: int, threads: int) -> None:
        """`url` ends before `/chat/completions`; `key` is sent if it is not empty; `timeout` is in seconds."""
        import requests

        self._url, self._key, self._timeout, self._attempts = url.rstrip("/"), key, timeout, attempts
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=threads))
        self._session.auth = _authorization(key)  # never the user's .netrc, which requests would read otherwise

    def ask(self, body: Mapping[str, Any], stopped: threading.Event) -> Answer:
        """The answer to one request; once `stopped` is set, a call that fails is not tried again.

        Raises:
            UserError: the server refuses the request, the key or the address, whoever asks again.
            TryAgain: it does not answer, or fails, as often as it is asked.
        """
        import tenacity

        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._attempts) | tenacity.stop_when_event_set(stopped),
            sleep=tenacity.sleep_using_event(stopped),
            wait=as_asked(_LONGEST_WAIT),
            retry=tenacity.retry_if_exception_type(_Passing),
            reraise=True,
        )
        try:
            return tries(self._asked, body)
        except _Passing as error:
            raise TryAgain(
                f"oracle.endpoint.url {self._url}: no answer in {self._attempts} attempts, the last: {error}; when the "
                "server answers again, run the same command: verdicts given so far are kept"
            ) from None

    def _asked(self, body: Mapping[str, Any]) -> Answer:
        import requests

        try:
            response = self._session.post(
                f"{self._url}/chat/completions", json=body, timeout=self._timeout, allow_redirects=False
            )
        except requests.exceptions.InvalidURL as error:
            raise UserError(f"oracle.endpoint.url {self._url}: {one_line(error)}") from None
        except requests.RequestException as error:  # refused, reset, timed out, or the body ended too early
            raise _Passing(f"{type(error).__name__}: {error}") from None
        if response.status_code == 200:
            return _read(response)
        said = _message(response)
        said = said.replace(self._key, "[redacted]") if self._key else said  # some servers name a wrong key
        if response.status_code >= 500 or response.status_code in _PASSING:
            raise _Passing(
                f"{response.status_code} {said}", seconds_asked(response.headers.get("Retry-After", ""), _LONGEST_WAIT)
            )
        if response.status_code in (400, 413, 422) and _is_too_long(said):
            return Answer("", "length", 0, 0, too_long=True)
        if response.status_code == 400 and "content" in said and "filter" in said:
            return Answer("", "content_filter", 0, 0, refused=True)
        raise UserError(
            f"oracle.endpoint.url {self._url} answers {response.status_code}: {said}; {_advice(response, said)}"
        )


def _authorization(key: str) -> Any:
    def add(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        if key:
            request.headers["Authorization"] = f"Bearer {key}"
        return request

    return add


def _read(response: "requests.Response") -> Answer:
    """An answer with all that it must have.

    Raises:
        _Passing: the body is none, or cut: a proxy's page, or the end of a connection.
    """
    try:
        data = response.json()
        choice = data["choices"][0]
        message, usage = choice["message"], data.get("usage") or {}
        places = (choice.get("logprobs") or {}).get("content") or []
        top = [(str(each["token"]), float(each["logprob"])) for each in places[0]["top_logprobs"]] if places else []
        finish = str(choice.get("finish_reason") or "")
        return Answer(
            _text(message.get("content")),
            finish,
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
            top,
            refused=bool(message.get("refusal")) or finish == "content_filter",
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        start = " ".join(response.text.split())[:80]
        raise _Passing(f"no answer of a chat ({type(error).__name__}: {error}): {start!r}") from None


def _text(content: Any) -> str:
    """The text of a message, which may be in parts, thoughts among them; half of a surrogate pair becomes a `?`: no
    file takes it."""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part["type"] == "text")
    return (content or "").encode("utf-8", "replace").decode()


def _message(response: "requests.Response") -> str:
    """What a server says of a failure, in one line."""
    try:
        error = response.json().get("error") or response.json()
        said = " ".join(str(error.get(name)) for name in ("code", "message") if error.get(name)) or str(error)
    except (ValueError, AttributeError):
        said = response.text
    return redact(one_line(said))[:_SAID] or response.reason


def _is_too_long(said: str) -> bool:
    """Whether a server's message says that a prompt is longer than the model's context."""
    said = said.lower().replace("_", " ")
    return any(words in said for words in ("context length", "context size", "maximum model length", "too long"))


def _advice(response: "requests.Response", said: str) -> str:
    if response.status_code in (401, 403):
        return "set oracle.endpoint.api_key_variable to the name of an environment variable that holds a valid key"
    if response.status_code == 404:
        return "see that oracle.endpoint.url ends as OpenAI's does, in /v1, and that the server has oracle.model"
    if response.status_code < 400:
        return f"set oracle.endpoint.url to where it leads ({redact(response.headers.get('Location', ''))})"
    if "logprobs" in said:
        return "set oracle.request.top_logprobs to fewer, or oracle.template to one that reads text: mt-bench-pair-v2"
    return "set oracle.request so that the server takes it, a field to null to leave it out"
