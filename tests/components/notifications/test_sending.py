"""Messages to webhooks: once each, whatever servers do, and never with the address in what is said."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.notifications.messages import Message, of_ending
from nashflow.components.notifications.sending import notify, unset
from nashflow.components.notifications.settings import JsonWebhook, SlackWebhook, Webhook
from nashflow.components.recipe import Recipe
from nashflow.components.storage.store import open_store
from tests.fixtures.runs import SMALL
from tests.fixtures.webhook import WebhookServer, receiving

SECRET = "T000-B000-s3cr3t"
JSON, SLACK = JsonWebhook(url_variable="HOOK"), SlackWebhook(url_variable="HOOK")
FAILED = Message("failed", "weekly", "s3://bucket/runs/1", "job-1", "training-001-main: <out> & over")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    with receiving() as server:
        monkeypatch.setenv("HOOK", f"{server.url}/services/{SECRET}")
        yield server


def test_a_message_is_sent_as_json_and_for_slack(server: WebhookServer) -> None:
    assert notify([JSON, SLACK], [FAILED], None) == []
    sent, told = server.bodies
    assert sent.pop("time").endswith("+00:00")
    assert sent == {
        "id": FAILED.id,
        "event": "failed",
        "run": "weekly",
        "run_root": "s3://bucket/runs/1",
        "job": "job-1",
        "reason": "training-001-main: <out> & over",
        "details": {},
    }
    assert told == {"text": "weekly: failed: training-001-main: &lt;out&gt; &amp; over\ns3://bucket/runs/1"}
    assert server.paths == [f"/services/{SECRET}"] * 2


def test_a_message_has_no_secrets_of_the_reason() -> None:
    said = Message("failed", "weekly", "s3://user:word@host/x", reason="GET http://me:pass@host/?api_key=k1\nTraceback")
    assert said.to_json()["reason"] == "GET http://host/?api_key=[redacted] Traceback"
    assert "pass" not in said.in_words()
    assert said.to_json()["run_root"] == "s3://host/x"


def test_a_webhook_is_told_once_of_what_it_asks_for(server: WebhookServer, tmp_path: Path) -> None:
    store, finished = open_store(str(tmp_path)), Message("finished", "weekly", "there", about="digest")
    choosy = JsonWebhook(url_variable="HOOK", events=("finished",))
    for _ in range(3):
        assert notify([choosy], [FAILED, finished], store) == []
    assert [body["event"] for body in server.bodies] == ["finished"]
    assert notify([choosy], [Message("finished", "weekly", "there", about="another")], store) == []
    assert len(server.bodies) == 2


def test_what_was_not_taken_is_sent_again_by_the_successor(server: WebhookServer, tmp_path: Path) -> None:
    server.answers = [403]
    (line,) = notify([JSON], [FAILED], open_store(str(tmp_path)))
    assert line == (
        "the webhook HOOK was not told of failed: 127.0.0.1 answers 403: set the variable to an address that takes "
        "messages"
    )
    assert notify([JSON], [FAILED], open_store(str(tmp_path))) == []
    assert len({body["id"] for body in server.bodies}) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_that_may_recover_is_asked_again(status: int, server: WebhookServer) -> None:
    server.answers = [status, status]
    assert notify([JSON], [FAILED], None) == []
    assert len(server.bodies) == 3


def test_a_server_that_does_not_recover_is_given_up(server: WebhookServer) -> None:
    server.answers = [500] * 9
    assert notify([JSON], [FAILED], None) == ["the webhook HOOK was not told of failed: 127.0.0.1 answers 500, 4 times"]
    assert len(server.bodies) == 4


def test_a_server_that_hangs_up_is_given_up(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nashflow.components.notifications.sending.as_asked", lambda most: lambda state: 0.0)
    server.answers = [0] * 4
    (line,) = notify([JSON], [FAILED], None)
    assert line == "the webhook HOOK was not told of failed: 127.0.0.1 does not answer (ConnectionError), 4 times"
    server.shutdown()
    server.server_close()
    (line,) = notify([JSON], [FAILED], None)
    assert "does not answer" in line


def test_a_redirect_is_not_followed(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as other:
        server.answers, server.location = [307], f"{other.url}/{SECRET}"
        (line,) = notify([JSON], [FAILED], None)
        assert other.bodies == []
    assert "answers 307 and leads to 127.0.0.1, where nothing is sent" in line
    assert SECRET not in line


def test_neither_netrc_nor_another_users_name_goes_out(
    server: WebhookServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    notify([JSON], [FAILED], None)
    monkeypatch.setenv("HOOK", server.url.replace("http://", "http://user:word@"))
    notify([JSON], [FAILED], None)
    assert server.authorizations == ["", "Basic dXNlcjp3b3Jk"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "the variable is not set; on a cluster, cluster.secrets gives it to the steps"),
        (f"hooks.example.com/{SECRET}", "its value is no http or https address"),
        (f"ftp://host/{SECRET}", "its value is no http or https address"),
        (f"http://[::1/{SECRET}", "ValueError"),
        (f"http://host:{SECRET}/x", "its value is no address that can be asked (InvalidURL)"),
        ("http://*." + SECRET, "its value is no address that can be asked (InvalidURL)"),
    ],
)
def test_an_address_that_is_none_is_never_repeated(value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", value)
    assert notify([JSON], [FAILED], None) == [f"the webhook HOOK was not told of failed: {said}"]


def test_the_address_is_not_logged_even_where_all_is(
    server: WebhookServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [500, 404]
    notify([JSON, SLACK], [FAILED], None)
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


def test_which_variables_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "http://host")
    assert unset([JSON, JsonWebhook(url_variable="OTHER"), SlackWebhook(url_variable="OTHER")]) == ["OTHER"]


@pytest.mark.parametrize("url", [f"https://hooks.slack.com/services/{SECRET}", f"${{{SECRET}}}", "", "A B"])
def test_an_address_in_the_recipe_is_refused_without_repeating_it(url: str) -> None:
    data: dict[str, Any] = {**SMALL, "notifications": {"webhooks": [{"kind": "slack", "url_variable": url}]}}
    with pytest.raises(UserError) as refused:
        Recipe.parse(data, "mine.yaml")
    assert str(refused.value) == (
        "mine.yaml: notifications.webhooks.0.url_variable: the name of an environment variable is wanted here, of "
        "letters, digits and underscores, never the address itself: set the variable to that, from a Secret on a "
        "cluster (cluster.secrets)"
    )


def test_a_recipe_without_webhooks_is_what_it_was() -> None:
    assert "notifications" not in Recipe.parse(SMALL, "mine.yaml").model_dump(mode="json")


def test_nobody_is_told_of_what_somebody_has_cancelled(tmp_path: Path) -> None:
    assert of_ending("cancelled", "", ("me", ""), open_store(str(tmp_path)), None, "weekly") == []


def test_two_failures_are_two_events_and_one_retried_closing_is_not(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    first, again, other = (
        of_ending("failed", "out of memory", holder, store, None, "weekly")[0].id
        for holder in (("host:1", ""), ("host:1", ""), ("host:2", ""))
    )
    assert first == again != other


def test_webhooks_of_several_threads_are_told_apart(server: WebhookServer, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    hooks: list[Webhook] = [JSON, SLACK]
    threads = [threading.Thread(target=notify, args=([hook], [FAILED], store)) for hook in hooks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.bodies) == 2
