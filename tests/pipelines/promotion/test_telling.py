"""`nashflow promote` tells the run's webhooks what was decided."""

import json

import pytest

from nashflow.pipelines.promotion.promote import tell_of_decision
from tests.fixtures.runs import SandboxRun
from tests.fixtures.webhook import receiving


def test_the_webhooks_of_the_run_are_told_once(
    prepared: SandboxRun, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tell_of_decision(prepared.store)
    run = json.loads(prepared.store.read("run.json"))
    run["recipe"]["notifications"] = {"webhooks": [{"kind": "slack", "url_variable": "HOOK"}]}
    prepared.store.write("run.json", json.dumps(run).encode())
    said = {"decision": "refused", "dry_run": False, "reason": "undecided", "model": "m", "figures": {}}
    prepared.store.write("report/promotion.json", json.dumps(said).encode())
    with receiving() as server:
        monkeypatch.setenv("HOOK", server.url)
        server.answers = [404]
        tell_of_decision(prepared.store)
        assert "nashflow: warning: the webhook HOOK was not told of refused" in capfd.readouterr().err
        tell_of_decision(prepared.store)
        tell_of_decision(prepared.store)
        assert [body["text"].partition("\n")[0] for body in server.bodies] == ["small: refused: undecided"] * 2
    assert capfd.readouterr().err == ""
