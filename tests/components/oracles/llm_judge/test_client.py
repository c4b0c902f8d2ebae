"""Calls of a server that fails: what is tried again, what is the user's to mend, and what is an answer."""

import json
import time
from email.utils import formatdate
from threading import Event
from typing import Any

import pytest

from nashflow.components.core.errors import TryAgain, UserError
from nashflow.components.core.retry_after import seconds_asked
from nashflow.components.oracles.llm_judge.client import Client
from tests.fixtures.judge_server import INPUT, OUTPUT, serving

BODY = {"model": "judge", "messages": [{"role": "user", "content": "Which?"}]}


def client(url: str, key: str = "", attempts: int = 3, timeout: float = 30.0) -> Client:
    return Client(url, key, timeout, attempts, 2)


def fault(status: int, message: str, code: str = "") -> str:
    return json.dumps({"status": status, "error": {"message": message, "code": code}})


def test_an_answer_with_its_tokens() -> None:
    top = [{"token": "A", "logprob": -0.5, "top_logprobs": [{"token": "A", "logprob": -0.5}]}]
    with serving(lambda body: "Fine.", logprobs={"content": top}) as server:
        answer = client(server.url, "secret").ask(BODY, Event())
        assert server.keys == ["Bearer secret"]
    assert (answer.text, answer.finish, answer.input_tokens, answer.output_tokens) == ("Fine.", "stop", INPUT, OUTPUT)
    assert answer.top == [("A", -0.5)]


@pytest.mark.parametrize("failure", ["429", "500", "page", "cut"])
def test_what_may_pass_is_tried_again(failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nashflow.components.oracles.llm_judge.client.as_asked", lambda most: lambda state: 0.0)
    with serving(lambda body: "Fine.", (failure, "")) as server:
        assert client(server.url).ask(BODY, Event()).text == "Fine."
        assert server.calls == 2


def test_a_server_that_is_late_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nashflow.components.oracles.llm_judge.client.as_asked", lambda most: lambda state: 0.0)
    with serving(lambda body: "Fine.", ("late", "")) as server:
        assert client(server.url, timeout=1.0).ask(BODY, Event()).text == "Fine."


def test_a_server_that_is_gone_is_worth_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nashflow.components.oracles.llm_judge.client.as_asked", lambda most: lambda state: 0.0)
    with serving() as server:
        url = server.url
    with pytest.raises(TryAgain, match=r"no answer in 3 attempts, the last: ConnectionError: .*run the same command"):
        client(url).ask(BODY, Event())


def test_retry_after_is_kept() -> None:
    assert seconds_asked("3", 60.0) == 3.0
    assert seconds_asked("86400", 60.0) == 60.0
    assert seconds_asked(formatdate(time.time() - 100), 60.0) == 0.0
    assert 0.0 < (seconds_asked(formatdate(time.time() + 30), 60.0) or 0.0) <= 30.0
    assert seconds_asked("", 60.0) is None
    assert seconds_asked("soon", 60.0) is None


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (401, "Invalid token", r"answers 401: Invalid token; set oracle\.endpoint\.api_key_variable"),
        (404, "The model does not exist", r"ends as OpenAI's does, in /v1, and that the server has oracle\.model"),
        (
            400,
            "logprobs are not supported",
            r"logprobs are not supported; set oracle\.request\.top_logprobs to fewer, or",
        ),
        (400, "no such field: seed", r"no such field: seed; set oracle\.request so that"),
        (302, "moved", r"answers 302: moved; set oracle\.endpoint\.url to where it leads"),
    ],
)
def test_what_the_user_has_to_mend_is_said_at_once(status: int, message: str, advice: str) -> None:
    with serving(faults=(fault(status, message),)) as server:
        with pytest.raises(UserError, match=advice):
            client(server.url, "secret").ask(BODY, Event())
        assert server.calls == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("context_length_exceeded", "Please reduce the length of the messages."),
        ("", "This model's maximum context length is 64 tokens. However, you requested 90."),
        ("", "request (90 tokens) exceeds the available context size (64 tokens), try increasing it"),
        ("", "prompt is too long: 90 tokens > 64 maximum"),
    ],
)
def test_messages_that_are_longer_than_the_model_reads(code: str, message: str) -> None:
    with serving(faults=(fault(400, message, code),)) as server:
        assert client(server.url).ask(BODY, Event()).too_long


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("[[A]] \ud83d", "[[A]] ?"),  # half an emoji
        ([{"type": "thinking", "thinking": "[[B]]"}, {"type": "text", "text": "[[A]]"}], "[[A]]"),
    ],
)
def test_contents_that_are_no_plain_text(content: Any, text: str) -> None:
    with serving(message={"role": "assistant", "content": content}) as server:
        assert client(server.url).ask(BODY, Event()).text == text


def test_refusals() -> None:
    with serving(faults=(fault(400, "The prompt triggered the content filter"),)) as server:
        assert client(server.url).ask(BODY, Event()).refused
    with serving(lambda body: "", finish_reason="content_filter") as server:
        assert client(server.url).ask(BODY, Event()).refused
