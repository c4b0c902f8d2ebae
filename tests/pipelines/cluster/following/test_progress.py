"""The lines of a run that is followed: figures and progress from its run root, where KFP's answers say less."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp_server_api import V2beta1RuntimeStatus
from mlflow import MlflowClient

from nashflow.components.closing.step import close
from nashflow.components.runtime import lock
from nashflow.components.storage import outcome
from nashflow.pipelines.cluster.following import root_sight
from tests.fixtures.tracking import every_run, opened

from ..conftest import Call, Done, begun
from ..run_roots import Root
from ..server import BEGINNING, KfpServer, Snapshot, node

STEPS = ("rollout", "judging", "logprobs", "training")
SETS = ("run.iterations=2", "prompts.shards=2")
BLIND = "cannot be seen from here, so lines lack figures"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """The run root of a run of two iterations and two shards, of which nothing is there yet."""
    return Root(tmp_path / "root", BEGINNING, *SETS)


@pytest.fixture
def follow(call: Call, kfp: KfpServer, root: Root) -> Callable[..., Done]:
    """`nashflow wait` of a run; before each poll `change` may do something to its run root."""

    def run(change: Callable[[int], object], script: list[Snapshot], **fields: Any) -> Done:
        made = begun(kfp, fields.pop("run_root", root.store.uri), **fields)
        kfp.script = script
        kfp.on_poll = lambda poll: change(poll - 1) if poll else None  # the first one is to find the run
        return call("wait", made.run_id, "--host", kfp.url)

    return run


def lines_of(done: Done) -> list[str]:
    """The lines of tasks, one blank between their columns."""
    return [" ".join(line.split()) for line in done.out.splitlines() if line.startswith(("  ", "iteration"))]


def test_a_tasks_line_is_that_of_nashflow_run_with_all_its_shards(follow: Callable[..., Done], root: Root) -> None:
    def change(poll: int) -> None:
        if poll == 0:
            root.prepare()
            root.finish("rollout-001-main", 20, seconds=4.5)

    shards = [node("rollout-001-main", start=9, seconds=60)] * 2
    twins = [node("rollout-001-main(0)", start=9, seconds=60), node("rollout-001-main-driver", start=8, seconds=1)]
    nodes = [node("preparation", seconds=30), node("preparation(0)", seconds=30), *shards, *twins]
    done = follow(change, [Snapshot("RUNNING", nodes), Snapshot("FAILED", nodes)])
    assert [line for line in done.out.splitlines() if line.startswith(("  ", "iteration"))] == [
        "                       preparation              4.0 s  prompts 300",
        "iteration 1  main      rollout                  4.5 s  2 shards, responses 64, mean_length 2.5",
    ]


def test_a_run_whose_details_stop_is_followed_in_its_run_root(follow: Callable[..., Done], root: Root) -> None:
    """Argo compresses the status of a large run, and KFP's details of it stay what they were."""
    chain = [f"{step}-{t:03d}-main" for t in (1, 2) for step in STEPS]
    order = ["evaluation-000", *chain[:4], "evaluation-001", *chain[4:], "evaluation-002", "reporting"]
    stopped = [node("preparation", seconds=30), node("evaluation-000-driver", "RUNNING", start=31)]

    def change(poll: int) -> None:
        if poll == 0:
            root.prepare()
        elif poll <= len(order):
            root.finish(order[poll - 1], 100 + poll)

    done = follow(change, [Snapshot("RUNNING", stopped)] * (len(order) + 1) + [Snapshot("SUCCEEDED", stopped)])
    assert (done.code, done.err) == (0, "")
    lines = lines_of(done)
    assert [line.split(" 4.0 s")[0] for line in lines] == [
        "preparation",
        "iteration 0 evaluation",
        *(f"iteration 1 main {step}" for step in STEPS),
        "iteration 1 evaluation",
        *(f"iteration 2 main {step}" for step in STEPS),
        "iteration 2 evaluation",
        "reporting",
    ]
    assert lines[5] == "iteration 1 main training 4.0 s updates 3, loss 0.5, accuracy 0.75"
    assert lines[6] == "iteration 1 evaluation 4.0 s win_rate 0.625, duality_gap 0.0625, kl 0.125"


def test_a_task_is_told_when_its_last_shard_is_done(follow: Callable[..., Done], root: Root, kfp: KfpServer) -> None:
    def change(poll: int) -> None:
        if poll == 0:
            root.prepare()
            root.finish("rollout-001-main", 10, shard=0)
        if poll == 3:
            root.finish("rollout-001-main", 14, seconds=2, shard=1)

    half = follow(change, [Snapshot("RUNNING")] * 3 + [Snapshot("FAILED")])
    assert lines_of(half) == ["preparation 4.0 s prompts 300"]
    whole = follow(change, [Snapshot("RUNNING")] * 6 + [Snapshot("FAILED")])
    assert lines_of(whole)[1:] == ["iteration 1 main rollout 8.0 s 2 shards, responses 64, mean_length 2.5"]


def test_what_an_earlier_run_has_finished_is_told_once_this_run_has_passed_it(
    follow: Callable[..., Done], root: Root
) -> None:
    """A unit that is there may be about to be made again; of an evaluation, for which nothing waits, until the end."""
    earlier = ["evaluation-000", *(f"{step}-001-main" for step in STEPS[:3])]

    def change(poll: int) -> None:
        if poll == 0:
            root.prepare()
            for task in earlier:
                root.finish(task, -600)
        if poll == 3:
            root.finish("training-001-main", 50)
        if poll == 5:
            root.finish("evaluation-000", 60)

    done = follow(change, [Snapshot("RUNNING")] * 7 + [Snapshot("FAILED")])
    assert lines_of(done) == [
        "preparation 4.0 s prompts 300",
        *(f"iteration 1 main {step} finished before {rest}" for step, rest in zip(STEPS, EARLIER, strict=False)),
        "iteration 1 main training 4.0 s updates 3, loss 0.5, accuracy 0.75",
        "iteration 0 evaluation 4.0 s win_rate 0.625, duality_gap 0.0625, kl 0.125",
    ]


EARLIER = (
    "2 shards, responses 64, mean_length 2.5",
    "2 shards, pairs 28, comparisons 32",
    "2 shards, sequences 112, cache_hits 0",
)


def test_what_was_finished_before_is_told_at_the_end_of_a_run_that_succeeds(
    follow: Callable[..., Done], root: Root
) -> None:
    def change(poll: int) -> None:
        if poll == 0:
            root.prepare()
            root.finish("evaluation-000", -600)

    done = follow(change, [Snapshot("RUNNING")] * 3 + [Snapshot("SUCCEEDED")])
    assert lines_of(done)[1:] == ["iteration 0 evaluation finished before win_rate 0.625, duality_gap 0.0625, kl 0.125"]


def test_a_client_without_keys_for_the_store_says_so_once(follow: Callable[..., Done]) -> None:
    """And follows the run by what KFP says."""
    nodes = [node("preparation", seconds=30), node("training-001-main", start=9, seconds=3700)]
    script = [Snapshot("RUNNING")] * 3 + [Snapshot("SUCCEEDED", nodes)]
    done = follow(lambda poll: None, script, run_root="s3://bucket/runs/one")
    (said,) = [line for line in done.out.splitlines() if BLIND in line]
    assert "the run root s3://bucket/runs/one" in said
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said
    assert lines_of(done) == ["preparation 30.0 s", "iteration 1 main training 1 h 1 min"]


def test_a_store_that_does_not_answer_holds_nothing_up(
    follow: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that swallows all: connections are made, and nobody answers."""
    monkeypatch.setattr(root_sight, "_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "key")
        script = [Snapshot("RUNNING")] * 3 + [Snapshot("SUCCEEDED", [node("preparation", seconds=30)])]
        done = follow(lambda poll: None, script, run_root="s3://bucket/runs/one")
    assert (done.code, lines_of(done)) == (0, ["preparation 30.0 s"])
    (said,) = [line for line in done.out.splitlines() if BLIND in line]
    assert said.endswith("no answer in 0.3 s")


def test_a_run_of_later_iterations_tells_those_alone(call: Call, submit: Call, kfp: KfpServer, tmp_path: Path) -> None:
    """Those before them are finished under the same run root."""
    submit("--set", "run.iterations=2", "--first-iteration", "2")
    (run,) = kfp.runs.values()
    root = Root(tmp_path / "root", run.created_at, "run.iterations=2")
    run.runtime_config.parameters["run_root"] = root.store.uri
    root.prepare()
    for task in ("evaluation-000", *(f"{step}-001-main" for step in STEPS), "evaluation-001"):
        root.finish(task, -600)
    for task in (*(f"{step}-002-main" for step in STEPS), "evaluation-002", "reporting"):
        root.finish(task, 60)
    kfp.script = [Snapshot("RUNNING"), Snapshot("RUNNING"), Snapshot("SUCCEEDED")]
    lines = lines_of(call("wait", run.run_id, "--host", kfp.url))
    assert not [line for line in lines if line.startswith("iteration 1")]
    assert [line for line in lines if line.startswith("iteration 2 main training")]


def test_the_shards_of_a_graph_are_known_without_the_run_root(call: Call, submit: Call, kfp: KfpServer) -> None:
    """Some of them begin when others have ended, as `cluster.shards_at_once` has it."""
    submit("--set", "prompts.shards=3")
    (run,) = kfp.runs.values()
    shards = [node("shards-1", start=8), *(node("rollout", start=9 + 10 * shard, seconds=10) for shard in range(3))]
    running = [Snapshot("RUNNING", shards[:number]) for number in (2, 3, 4)]
    kfp.script = [running[0], *running, Snapshot("FAILED", shards)]
    done = call("wait", run.run_id, "--host", kfp.url)
    assert lines_of(done) == ["iteration 1 main rollout 30.0 s 3 shards"]


@pytest.mark.parametrize("known", [True, False])
def test_a_run_that_had_nothing_to_do_is_skipped(follow: Callable[..., Done], root: Root, known: bool) -> None:
    """KFP calls it succeeded. The run root has the reason; without it KFP's details show that nothing followed."""
    if known:
        root.end("job", "skipped", "20 new prompts, and the held-out ones alone are 64")
    nodes = [node("preparation", seconds=30), node("condition-1", "SKIPPED"), node("closing", start=40, seconds=5)]
    done = follow(lambda poll: None, [Snapshot("RUNNING"), Snapshot("SUCCEEDED", nodes)], run_id="job")
    why = "20 new prompts, and the held-out ones alone are 64" if known else "no new prompts"
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith(f"skipped in 2 min 5 s, {why}: ")


def test_the_outcome_of_another_run_under_the_run_root_is_not_this_ones(
    follow: Callable[..., Done], root: Root
) -> None:
    root.end("another", "skipped", "no new prompts")
    done = follow(lambda poll: None, [Snapshot("RUNNING"), Snapshot("SUCCEEDED")])
    assert done.out.splitlines()[-1].startswith("succeeded in 2 min 5 s: ")


# --- cancelled runs --------------------------------------------------------------------------------------------------


def test_a_run_that_waits_for_people_is_pending(call: Call, kfp: KfpServer, root: Root) -> None:
    """Its task has failed by KFP's own word."""
    run = begun(kfp, root.store.uri)
    root.end(run.run_id, "pending", "for people")
    failed = node("judging-001-main", "FAILED", start=20, seconds=5, error="exit code 3")
    kfp.script = [Snapshot("FAILED", [failed])]
    done = call("wait", run.run_id, "--host", kfp.url)
    again = f"`nashflow retry {run.run_id} --host {kfp.url}`"
    assert done.code == 3
    assert f"{run.display_name} is pending: for people; then resume it with {again}; {kfp.url}" in done.err


@pytest.fixture
def begun_root(root: Root, tmp_path: Path, empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A run root that the run `job` holds, tracked in an MLflow of its own: what a run that is at work leaves."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    root.prepare(tracking=opened(root.store).to_json())
    lock.acquire(root.store, "job", job="job")
    return MlflowClient()


def statuses_of(client: MlflowClient) -> set[str]:
    return {run.info.status for run in every_run(client)}


@pytest.mark.parametrize("closing", [False, True], ids=["closing never ran", "closing was told RUNNING"])
@pytest.mark.parametrize("command", ["wait", "cancel"])
def test_a_cancelled_run_is_closed_by_who_watches_its_end(
    command: str, closing: bool, call: Call, kfp: KfpServer, root: Root, begun_root: MlflowClient
) -> None:
    """Argo starts no exit task any more: its run in MLflow would go on for ever, and its lock last a day."""
    if closing:
        close(root.store, ("job", "job"), "failed", "Kubeflow was not told of its end")
        assert statuses_of(begun_root) == {"FAILED"}
    run = begun(kfp, root.store.uri, run_id="job")
    kfp.script = [Snapshot("RUNNING")]
    if command == "wait":  # in KFP's page
        run.state_history = [V2beta1RuntimeStatus(state="CANCELING")]
    done = call(command, run.run_id, "--host", kfp.url)
    said = outcome.read(root.store)
    assert said is not None
    assert (said.outcome, said.job) == ("cancelled", "job")
    assert lock.held_by(root.store) == ("", "")
    assert statuses_of(begun_root) == {"KILLED"}
    assert done.code == (0 if command == "cancel" else 1)


def test_a_cancelled_run_whose_lock_another_one_has_is_left_alone(
    call: Call, kfp: KfpServer, root: Root, begun_root: MlflowClient
) -> None:
    lock.release(root.store, "job")
    lock.acquire(root.store, "another", job="another")
    run = begun(kfp, root.store.uri, run_id="job")
    kfp.script = [Snapshot("RUNNING")]
    call("cancel", run.run_id, "--host", kfp.url)
    assert (outcome.read(root.store), lock.held_by(root.store)) == (None, ("another", "another"))
    assert statuses_of(begun_root) == {"RUNNING"}


def test_without_mlflow_s_address_a_cancelled_run_is_ended_there_later(
    call: Call, kfp: KfpServer, root: Root, begun_root: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command that is advised."""
    run = begun(kfp, root.store.uri, run_id="job")
    kfp.script = [Snapshot("RUNNING")]
    with monkeypatch.context() as without:
        without.delenv("MLFLOW_TRACKING_URI")
        done = call("cancel", run.run_id, "--host", kfp.url)
    advice = f"with MLFLOW_TRACKING_URI set, `nashflow wait job --host {kfp.url}` ends it"
    assert f"its run in MLflow stays open: {advice}" in done.out
    assert statuses_of(begun_root) == {"RUNNING"}
    assert call("wait", "job", "--host", kfp.url).code == 1
    assert statuses_of(begun_root) == {"KILLED"}


def test_a_cancelled_run_that_another_one_goes_on_with_is_not_ended_in_mlflow(
    call: Call, kfp: KfpServer, root: Root, begun_root: MlflowClient
) -> None:
    root.end("job", "cancelled")
    lock.release(root.store, "job")
    lock.acquire(root.store, "job", job="its retry")
    run = begun(kfp, root.store.uri, run_id="job")
    kfp.script = [Snapshot("RUNNING")]
    call("cancel", run.run_id, "--host", kfp.url)
    assert statuses_of(begun_root) == {"RUNNING"}


def test_a_run_that_succeeds_although_it_was_to_be_cancelled_is_left_alone(
    call: Call, kfp: KfpServer, root: Root, begun_root: MlflowClient
) -> None:
    run = begun(kfp, root.store.uri, run_id="job", state="SUCCEEDED")
    run.state_history = [V2beta1RuntimeStatus(state=state) for state in ("RUNNING", "CANCELING", "SUCCEEDED")]
    assert call("wait", run.run_id, "--host", kfp.url).code == 0
    assert (outcome.read(root.store), lock.held_by(root.store)) == (None, ("job", "job"))
    assert statuses_of(begun_root) == {"RUNNING"}


def test_what_could_not_be_done_at_a_run_s_end_is_said(
    call: Call, kfp: KfpServer, root: Root, begun_root: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as to tell an MLflow that was down then."""
    with monkeypatch.context() as down:
        down.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        down.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        assert close(root.store, ("job", "job"), "succeeded", "")
    run = begun(kfp, root.store.uri, run_id="job", state="SUCCEEDED")
    done = call("wait", run.run_id, "--host", kfp.url)
    (line,) = done.err.splitlines()
    assert line.startswith("nashflow: warning: not sent to MLflow: ")
    assert f" MLFLOW_TRACKING_URI=http://127.0.0.1:9 nashflow report {root.store.uri}" in line
