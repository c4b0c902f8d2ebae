"""Judge servers, where there are any: OpenAI-compatible APIs, such as vLLM's."""

import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

from nashflow.components.core.redaction import redact
from nashflow.components.oracles.oracle_settings import Served

from .case import Case
from .finding import Finding

_SECONDS = 10.0
_KEY = "NASHFLOW_JUDGE_API_KEY"


def judge(case: Case) -> Iterator[Finding]:
    """The health of the server at --judge-url and its models, and whether servers have the judges of the recipe."""
    oracles = (case.recipe.oracle, *case.recipe.evaluation.judges) if case.recipe else ()
    served = list(dict.fromkeys(each for oracle in oracles for each in oracle.served))
    yield from map(_of_recipe, served)
    if not case.judge_url:
        if not served:
            tried = "NASHFLOW_JUDGE_URL, --judge-url"
            yield Finding("judge", "not needed", tried, "not set: steps load the oracle themselves")
        return
    url, authorization = _apart(case.judge_url.rstrip("/").removesuffix("/v1"))
    for path in ("/health", "/v1/models"):
        finding = _asked(f"{url}{path}", authorization)
        yield finding
        if finding.state == "failed":
            return


def _of_recipe(served: Served) -> Finding:
    """Whether a server has the model that an oracle of the recipe asks."""
    key = os.environ.get(served.key_variable, "")
    if served.key_variable and not key:
        found = f"{served.key_variable} is not set here, where nashflow doctor runs"
        return Finding("judge", "not tried", f"GET {served.url}/models", found, "set it to the key, to try")
    return _asked(f"{served.url}/models", f"Bearer {key}" if key else "", served.model)


def _apart(url: str) -> tuple[str, str]:
    """The address without credentials, and the header that carries them: those in it, or else the key."""
    key = os.environ.get(_KEY, "")
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    given = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
    return parts._replace(netloc=host).geturl(), f"Basic {given}" if at else f"Bearer {key}" if key else ""


def _asked(url: str, authorization: str, model: str = "") -> Finding:
    tried, lists = f"GET {redact(url)}", url.endswith("/models")
    try:
        body = _get(url, authorization)
        models = [str(model["id"]) for model in json.loads(body)["data"]] if lists else []
    except urllib.error.HTTPError as error:
        return Finding("judge", "failed", tried, f"answers {error.code} {error.reason}", _advice(error.code, model))
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = getattr(error, "reason", error)
        return Finding("judge", "failed", tried, redact(f"{type(error).__name__}: {said}"), _advice(0, model))
    if lists and not models:
        return Finding("judge", "failed", tried, "serves no model", "set judge.model in the chart's values")
    if model and model not in models:
        advice = f"set oracle.model, which is {model}, to a model of the server's"
        return Finding("judge", "failed", tried, f"serves {', '.join(models)}", advice)
    return Finding("judge", "ok", tried, f"serves {', '.join(models)}" if models else "healthy")


def _get(url: str, authorization: str) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": authorization} if authorization else {})
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        body: bytes = answer.read()
    return body


def _advice(status: int, model: str) -> str:
    if model and status != 503:
        return "set oracle.endpoint.url, oracle.endpoint.api_key_variable, and that variable, to the server's"
    if status in (401, 403):
        return f"set {_KEY} to the server's key, or give user and password in --judge-url"
    if status == 503:
        return "the model is still being loaded, or the server is overloaded: try again later"
    return (
        "give the server's address with --judge-url, such as http://nashflow-judge:8000, and see that its pod is ready"
    )
