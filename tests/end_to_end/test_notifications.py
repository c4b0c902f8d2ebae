"""`nashflow run` tells webhooks how it ends: real processes, and a webhook on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures import cli
from tests.fixtures.webhook import WebhookServer, receiving

TINY = (
    "run.iterations=1",
    "prompts.per_iteration=64",
    "prompts.held_out=16",
    "training.epochs=1",
    "evaluation.benchmarks=[head_to_head]",
    "notifications.webhooks=[{kind: json, url_variable: HOOK}, {kind: slack, url_variable: HOOK, events: [failed]}]",
)


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with receiving() as server:
        yield server


@pytest.mark.runs
def test_a_run_that_ends_and_one_that_fails_at_its_first_task(server: WebhookServer, tmp_path: Path) -> None:
    secret = f"{server.url}/t0p-s3cret"
    root = tmp_path / "run"
    done = cli.call("run", "quickstart", "--run-root", str(root), sets=TINY, HOOK=secret)
    again = cli.call("run", "quickstart", "--run-root", str(root), sets=TINY, HOOK=secret)
    assert [(body["event"], body["run_root"]) for body in server.bodies] == [("finished", str(root))]
    assert server.bodies[0]["details"]["iteration"] == 1
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"t0p-s3cret" in data for data in [*kept, (done.stdout + done.stderr + again.stderr).encode()])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "policies").write_text("a file where a folder is needed")
    failed = cli.call("run", "quickstart", "--run-root", str(tmp_path / "other"), sets=TINY, check=False, HOOK=secret)
    assert failed.returncode != 0
    assert server.bodies[1]["event"] == "failed"
    assert server.bodies[2]["text"].startswith("quickstart: failed: ")
