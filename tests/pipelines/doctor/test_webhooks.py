"""What `nashflow doctor` and the client say of webhooks whose addresses the steps would not have."""

import pytest

from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.examination import CHECKS, examine
from nashflow.pipelines.doctor.finding import Finding
from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.webhooks import warn_of_webhooks

HOOK = "notifications.webhooks=[{kind: slack, url_variable: SLACK_URL}]"
SECRET = "cluster.secrets=[{name: hooks, keys: {slack: SLACK_URL}}]"


def look(*settings: str) -> list[Finding]:
    case = Case(load_recipe("quickstart", settings), Access())
    return list(examine(case, tuple(other for other in CHECKS if other != "webhooks")))


def test_a_webhook_needs_a_secret_that_gives_its_variable() -> None:
    assert [finding.state for finding in look()] == ["not needed"]
    (missing,) = look(HOOK)
    assert (missing.state, missing.found) == (
        "failed",
        "no Secret gives the steps SLACK_URL, so nobody would be told there",
    )
    assert missing.advice == "name in cluster.secrets a Secret with a key for SLACK_URL, or leave the webhook out"
    assert [finding.state for finding in look(HOOK, SECRET)] == ["ok"]


def test_a_run_is_submitted_with_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    warn_of_webhooks(load_recipe("quickstart", [HOOK, SECRET]))
    assert capfd.readouterr().err == ""
    warn_of_webhooks(load_recipe("quickstart", [HOOK]), "weekly: ")
    assert capfd.readouterr().err == (
        "nashflow: warning: weekly: no Secret gives the steps SLACK_URL, the address of a webhook: name in "
        "cluster.secrets a Secret with a key for SLACK_URL\n"
    )
