"""The closing step and the recipe's webhooks: who is told what, also where the run has failed at once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.runtime import lock
from nashflow.components.storage import outcome
from tests.components.closing.test_step import FAILURE
from tests.fixtures.runs import SandboxRun, recipe, snapshot
from tests.fixtures.webhook import WebhookServer, receiving

TOLD = json.dumps({"run": "small", "webhooks": [{"kind": "json", "url_variable": "HOOK"}]})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    with receiving() as server:
        monkeypatch.setenv("HOOK", server.url)
        yield server


def close(run: SandboxRun, status: object, job: str = "job-1") -> None:
    run.step("closing", job_id=job, status=json.dumps(status), notifications=TOLD)


def held(run: SandboxRun) -> SandboxRun:
    lock.release(run.store, lock.held_by(run.store)[0])
    lock.acquire(run.store, "job-1", job="job-1")
    return run


def test_a_run_that_has_finished_tells_its_last_figures(finished: SandboxRun, server: WebhookServer) -> None:
    finished.step("reporting", 2)
    close(held(finished), {"state": "COMPLETE"})
    (body,) = server.bodies
    assert (body["event"], body["run"], body["job"], body["run_root"]) == ("finished", "small", "job-1", finished.root)
    assert body["details"]["iteration"] == 2
    assert 0 < body["details"]["win_rate_low"] < body["details"]["win_rate"] < body["details"]["win_rate_high"] < 1
    close(held(finished), {"state": "COMPLETE"})
    assert server.events() == ["finished"], "the step was repeated"


def test_a_run_that_fails_says_why(prepared: SandboxRun, server: WebhookServer) -> None:
    close(held(prepared), FAILURE)
    assert [(body["event"], body["reason"]) for body in server.bodies] == [("failed", "task training-001-main failed")]
    assert lock.held_by(prepared.store) == ("", "")


def test_a_run_that_failed_at_its_first_task_is_told_by_the_name_that_the_graph_has(
    tmp_path: Path, server: WebhookServer
) -> None:
    empty = SandboxRun(str(tmp_path / "empty"), recipe())
    close(empty, FAILURE)
    assert [(body["event"], body["run"]) for body in server.bodies] == [("failed", "small")]
    assert not Path(empty.root).exists()


def test_a_run_refused_by_the_one_at_work_leaves_nothing_there(prepared: SandboxRun, server: WebhookServer) -> None:
    held(prepared)
    before = snapshot(prepared.root)
    close(prepared, FAILURE, "job-2")
    assert [(body["event"], body["job"]) for body in server.bodies] == [("failed", "job-2")]
    assert snapshot(prepared.root) == before


def test_a_run_whose_root_cannot_be_used_is_told_of(
    prepared: SandboxRun, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> object:
        raise UserError("s3://bucket/run: access denied")

    monkeypatch.setattr("nashflow.components.storage.generations.newest", denied)
    with pytest.raises(UserError, match="access denied"):
        close(prepared, FAILURE)
    assert [(body["event"], body["reason"]) for body in server.bodies] == [("failed", "s3://bucket/run: access denied")]


def test_a_run_that_was_skipped_is_told_of_once(prepared: SandboxRun, server: WebhookServer) -> None:
    lock.release(prepared.store, lock.held_by(prepared.store)[0])
    outcome.write(prepared.store, "skipped", "0 of 9 prompts are new", "job-1")
    close(prepared, {"state": "COMPLETE"})
    close(prepared, {"state": "COMPLETE"})
    assert [(body["event"], body["reason"]) for body in server.bodies] == [("skipped", "0 of 9 prompts are new")]


def test_a_webhook_that_fails_is_reported_and_fails_nothing(
    prepared: SandboxRun, server: WebhookServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server.answers = [404]
    close(held(prepared), {"state": "COMPLETE"})
    ended = outcome.read(prepared.store)
    assert ended
    assert ended.outcome == "succeeded"
    assert ended.warning.startswith("the webhook HOOK was not told of finished: 127.0.0.1 answers 404")
    assert "warning: the webhook HOOK" in capfd.readouterr().err
    assert lock.held_by(prepared.store) == ("", "")
    close(held(prepared), {"state": "COMPLETE"})
    ended = outcome.read(prepared.store)
    assert (server.events(), ended and ended.warning) == (["finished", "finished"], "")


@pytest.mark.parametrize(
    ("decision", "dry_run", "told"), [("promoted", False, 1), ("refused", False, 1), ("promoted", True, 0)]
)
def test_what_was_decided_of_the_policy_is_told_once(
    decision: str, dry_run: bool, told: int, prepared: SandboxRun, server: WebhookServer
) -> None:
    said = {"decision": decision, "dry_run": dry_run, "reason": "win rate 0.7", "model": "m", "version": 3}
    data = json.dumps({**said, "figures": {"win_rate": 0.7, "prompts": 64.0}}).encode()
    prepared.store.write("report/promotion.json", data)
    close(held(prepared), FAILURE)
    close(held(prepared), {"state": "COMPLETE"}, "job-1")
    bodies = [body for body in server.bodies if body["event"] not in ("failed", "finished")]
    assert [(body["event"], body["reason"], body["details"]) for body in bodies] == told * [
        (decision, "win rate 0.7", {"model": "m", "version": 3, "win_rate": 0.7})
    ]
