"""`submit --wait` and `nashflow wait`: what they show, and that they outlive the server's troubles."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nashflow.pipelines.cluster.following import waiting

from ..conftest import Call, Done
from ..server import Fault, KfpServer, Snapshot, node

GET = "GET .*/runs/[^/]+"


def nodes(*more: object) -> list[object]:
    """What a workflow has besides its steps, and some steps."""
    return [
        node("quickstart-x7k2p", "RUNNING"),
        node("root", "RUNNING"),
        node("root-driver", seconds=2),
        node("exit-handler-1", "RUNNING"),
        node("preparation-driver", start=1, seconds=2),
        node("preparation", start=3, seconds=7),
        node("executor", start=3, seconds=6),
        node("condition-2", "RUNNING", start=9),
        node("evaluation-000", start=10, seconds=90),
        node("evaluation-000-driver", start=9, seconds=1),
        node("iteration-001", "RUNNING", start=11),
        node("for-loop-2", "RUNNING", start=12),
        node("iteration-item(0:0)", "RUNNING", start=12),
        node("rollout-001-main-driver", start=12, seconds=1),
        *more,
    ]


SHARDS = [node("rollout-001-main", start=13, seconds=4), node("rollout-001-main", start=14, seconds=3700)]
TRAINING = node("training-001-main", start=120, seconds=65)
SUCCESS = [
    Snapshot("PENDING"),
    Snapshot("RUNNING", nodes(node("rollout-001-main", "RUNNING", start=13))),
    Snapshot("RUNNING", nodes(*SHARDS, node("training-001-main", "RUNNING", start=120))),
    Snapshot("SUCCEEDED", nodes(*SHARDS, TRAINING)),
]
LINES = [
    "run pending",
    "run running",
    "                       preparation              7.0 s",
    "iteration 0            evaluation              90.0 s",
    "iteration 1  main      rollout              1 h 1 min  2 shards",
    "iteration 1  main      training                65.0 s",
]


def shown(done: Done) -> list[str]:
    """The lines between the run's link and its end, but for those of what cannot be seen from here."""
    return [line for line in done.out.splitlines()[1:-1] if "cannot be seen from here" not in line]


def test_a_run_that_succeeds_shows_its_steps_and_exits_with_0(submit: Call, kfp: KfpServer) -> None:
    kfp.script = SUCCESS
    done = submit("--wait", "--set", "prompts.shards=2")
    (run,) = kfp.runs
    assert (done.code, done.err) == (0, "")
    assert shown(done) == LINES
    assert done.out.splitlines()[-1] == f"succeeded in 2 min 5 s: {kfp.url}/#/runs/details/{run}"


def test_a_run_that_fails_names_its_step_and_how_to_go_on(submit: Call, kfp: KfpServer) -> None:
    failed = [
        node("training-001-main", "FAILED", start=20, seconds=5, error="main: exit code 2:\nout of memory"),
        node("executor", "FAILED", start=20, seconds=5),
        node("iteration-001", "FAILED", start=11, seconds=99),
    ]
    kfp.script = [Snapshot("RUNNING"), Snapshot("FAILED", nodes(*failed))]
    done = submit("--wait")
    (run,) = kfp.runs.values()
    first, second = done.err.splitlines()
    assert done.code == 1
    assert first == (
        f"nashflow: {run.display_name} failed after 2 min 5 s: training-001-main: main: exit code 2: out of memory; "
        f"{kfp.url}/#/runs/details/{run.run_id}"
    )
    assert f"`nashflow logs {run.run_id} --step training-001-main --host {kfp.url}`" in second
    assert f"`nashflow retry {run.run_id} --host {kfp.url}`" in second
    assert "iteration 1  main      training                failed  main: exit code 2: out of memory" in done.out


def test_a_run_that_is_cancelled_meanwhile_says_so(submit: Call, call: Call, kfp: KfpServer) -> None:
    """KFP itself calls such a run failed."""
    kfp.script = [Snapshot("RUNNING")]

    def cancel(polls: int) -> None:
        if polls == 3:
            (run,) = kfp.runs.values()
            kfp._terminate(run.run_id, b"")

    kfp.on_poll = cancel
    done = submit("--wait")
    assert (done.code, " was cancelled after 2 min 5 s: " in done.err) == (1, True)


def test_without_wait_nothing_is_polled(submit: Call, kfp: KfpServer) -> None:
    submit()
    assert [request for request in kfp.seen if request.startswith("GET /apis/v2beta1/runs/")] == []


def test_waiting_for_a_run_by_name(call: Call, submit: Call, kfp: KfpServer) -> None:
    submit("--set", "prompts.shards=2")
    kfp.script = SUCCESS
    (run,) = kfp.runs.values()
    done = call("wait", run.display_name, "--host", kfp.url)
    assert (done.code, shown(done)[-1]) == (0, LINES[-1])


# --- troubles --------------------------------------------------------------------------------------------------------


def restarts(kfp: KfpServer) -> None:
    kfp.on_poll = lambda polls: kfp.away(0.3) if polls in (1, 3) else None


def breaks(kind: str) -> Callable[[KfpServer], None]:
    def order(kfp: KfpServer) -> None:
        kfp.faults = [Fault(GET, kind, times=4, skip=1)]

    return order


def loses_its_database(kfp: KfpServer) -> None:
    kfp.faults = [Fault(GET, "404", times=3, skip=2), Fault(GET, "500", times=3)]


def forgets_tasks(kfp: KfpServer) -> None:
    kfp.script = [*SUCCESS[:3], Snapshot("RUNNING"), Snapshot(None), *SUCCESS[1:]]


TROUBLES = {
    "restarts": restarts,
    "502": breaks("502"),
    "503": breaks("503"),
    "504": breaks("504"),
    "429": breaks("429"),
    "reset": breaks("reset"),
    "slow": breaks("slow"),
    "database": loses_its_database,
    "tasks": forgets_tasks,
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_waiting_outlives_the_servers_troubles(
    submit: Call, kfp: KfpServer, trouble: str, request: pytest.FixtureRequest
) -> None:
    """The same lines as without any trouble, none twice, and one run."""
    kfp.script = SUCCESS
    if trouble == "slow":
        request.getfixturevalue("impatient")
    TROUBLES[trouble](kfp)
    done = submit("--wait", "--set", "prompts.shards=2")
    assert (done.code, done.err, len(kfp.runs)) == (0, "", 1)
    assert [line for line in shown(done) if line.startswith((" ", "iteration"))] == LINES[2:]


def test_a_server_that_stays_away_is_75_and_how_to_follow_on(
    submit: Call, kfp: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_PATIENCE_SECONDS", 0.3)
    kfp.script = [Snapshot("RUNNING")]
    kfp.on_poll = lambda polls: kfp.stop() if polls == 2 else None
    done = submit("--wait")
    (run,) = kfp.runs
    assert done.code == 75
    assert done.line == (
        f"nashflow: {kfp.url}: no answer: it cannot be connected to: check --host and the network, or try again later; "
        f"the run continues: follow it with `nashflow wait {run} --host {kfp.url}`"
    )


def test_a_deleted_run_is_said_to_be_gone(submit: Call, kfp: KfpServer) -> None:
    kfp.script = [Snapshot("RUNNING")]
    kfp.on_poll = lambda polls: kfp.runs.clear() if polls == 2 else None
    done = submit("--wait")
    assert (done.code, "no longer exists: it was deleted" in done.line) == (2, True)


def test_a_token_that_is_renewed_in_its_file_goes_on(submit: Call, kfp: KfpServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    kfp.tokens = {"old"}
    kfp.script = SUCCESS

    def expire(polls: int) -> None:
        if polls == 1:
            kfp.tokens = {"new"}
            file.write_text("new\n")

    kfp.on_poll = expire
    assert (submit("--wait", "--token-file", file).code, len(kfp.runs)) == (0, 1)


@pytest.mark.parametrize("option", ["--token", "--token-file"])
def test_a_token_that_stays_refused_says_what_to_do(submit: Call, kfp: KfpServer, tmp_path: Path, option: str) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    kfp.tokens = {"old"}
    kfp.script = [Snapshot("RUNNING")]

    def expire(polls: int) -> None:
        kfp.tokens = {"new"} if polls == 1 else kfp.tokens

    kfp.on_poll = expire
    done = submit("--wait", option, "old" if option == "--token" else file)
    (run,) = kfp.runs
    assert done.code == 2
    advice = "give a new one with --token" if option == "--token" else f"{file} was read again and is refused as well"
    assert advice in done.line
    given = "" if option == "--token" else f" --token-file {file}"
    assert done.line.endswith(f"the run continues: follow it with `nashflow wait {run} --host {kfp.url}{given}`")
    refusals = [request for request in kfp.seen if request.startswith("GET /apis/v2beta1/runs/")][2:]
    assert len(refusals) == (1 if option == "--token" else 3)


def test_an_interrupt_leaves_the_run_alone(submit: Call, kfp: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nashflow.pipelines.cluster.following.waiting.time.sleep", interrupted)
    kfp.script = [Snapshot("RUNNING")]
    done = submit("--wait")
    (run,) = kfp.runs.values()
    assert (done.code, run.state) == (130, "RUNNING")
    assert f"`nashflow wait {run.run_id}" in done.line
    assert f"`nashflow cancel {run.run_id} --host {kfp.url}`" in done.line
