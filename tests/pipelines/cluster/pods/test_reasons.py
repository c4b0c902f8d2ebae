"""Why a run failed, and what to do then: told at its end, by its pods, their logs and its workflow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.recordings import needs_recordings, recording

from ..conftest import Call, Done, begun
from ..pod_server import Json, PodServer, pod, workflow
from ..run_roots import Root
from ..server import KfpServer, Snapshot, node, parsed

NODE = "training-001-main"
LAUNCHER = (
    'time=2026-08-21T03:00:28.035Z level=INFO msg="capturing logs" argo=true',
    "I0821 03:00:28.123520      15 main.go:139] Setting log level to: '1'",
)
FAILED_LAUNCHER = (
    "E0821 03:00:30.728976      15 launcher_v2.go:449] Component failed to execute successfully: exit status {code}",
    "I0821 03:00:30.808929      15 launcher_v2.go:206] publish success.",
    "F0821 03:00:30.828699      15 main.go:130] failed to execute component: exit status {code}",
    'time=2026-08-21T03:00:31.037Z level=INFO msg="sub-process exited" argo=true error="exit status 1"',
    "Error: exit status 1",
)


def log(*lines: str, code: int) -> list[str]:
    """What a pod has written whose step ended with this exit code."""
    return [*LAUNCHER, *lines, *(line.format(code=code) for line in FAILED_LAUNCHER)]


def terminated(reason: str = "Error", code: int = 1, message: str = "") -> Json:
    return {"terminated": {"reason": reason, "exitCode": code} | ({"message": message} if message else {})}


@pytest.fixture
def failed(call: Call, kfp: KfpServer, cluster: PodServer) -> Callable[..., Done]:
    """`nashflow wait` of a run that fails as `prepare` has the cluster; `nodes` is what KFP shows of it."""

    def run(prepare: Callable[[str], object], *nodes: Any, run_root: str = "") -> Done:
        run_id = begun(kfp, run_root).run_id
        prepare(run_id)
        kfp.script = [Snapshot("RUNNING"), Snapshot("RUNNING"), Snapshot("FAILED", list(nodes))]
        return call("wait", run_id, "--host", kfp.url)

    return run


def ending(done: Done) -> tuple[str, str]:
    """The two lines on stderr."""
    assert done.code == 1
    said, how = done.err.splitlines()
    return said, how


TRAINING = node(NODE, "FAILED", start=20, seconds=5)


def test_a_fault_of_the_recipe_is_told_in_the_steps_words_and_no_retry_is_advised(
    failed: Callable[..., Done], cluster: PodServer, kfp: KfpServer
) -> None:
    said = (
        "preparation: /models/nothere.jsonl: no such file; set prompts.path to a JSON, JSONL or Parquet file of prompts"
    )
    lines = log("a line before", said, code=2)
    done = failed(
        lambda run: cluster.add(pod(run, "preparation", "Failed", state=terminated()), *lines),
        node("preparation", "FAILED", start=1, seconds=5),
        node("preparation(0)", "FAILED", start=1, seconds=5),
    )
    first, second = ending(done)
    (run_id,) = kfp.runs
    assert f" failed after 2 min 5 s: {said}; http" in first
    assert f"its log: `nashflow logs {run_id} --step preparation --host {kfp.url}`; " in second
    assert second.endswith("a retry would fail again: correct the recipe or the run's settings, and submit it again")
    assert "nashflow retry" not in second
    (line,) = [line for line in done.out.splitlines() if "preparation" in line]
    assert line == f"                       preparation             failed  {said.removeprefix('preparation: ')}"


def test_what_may_not_happen_again_is_retried(failed: Callable[..., Done], cluster: PodServer) -> None:
    lines = log("Traceback (most recent call last):", "ConnectionError: the store is away", code=75)
    done = failed(lambda run: cluster.add(pod(run, NODE, "Failed", state=terminated()), *lines), TRAINING)
    first, second = ending(done)
    assert f": {NODE}: ConnectionError: the store is away; http" in first
    assert "; resume it with `nashflow retry" in second


ENDED = {
    "out of memory": (
        {"state": terminated("OOMKilled", 137)},
        f"{NODE}: OOMKilled; ",
        "raise cluster.steps.training.memory (now 8Gi), and submit the recipe again with --run-root s3://bucket/one, ",
    ),
    "deadline": (
        {
            "state": terminated(),
            "status": {"reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the deadline"},
            "spec": {"activeDeadlineSeconds": 3600},
        },
        f"{NODE}: DeadlineExceeded: Pod was active on the node longer than the deadline; ",
        "raise cluster.steps.training.timeout_seconds (now 3600), and submit the recipe again with --run-root ",
    ),
    "evicted for its disk": (
        {"status": {"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}},
        f"{NODE}: Evicted: The node was low on resource: ephemeral-storage.; ",
        "nashflow: free disk space on the nodes; then resume it with `nashflow retry ",
    ),
    "evicted for its memory": (
        {"status": {"reason": "Evicted", "message": "The node was low on resource: memory."}},
        "low on resource: memory.",
        "raise cluster.steps.training.memory",
    ),
    "more in memory than it may": (
        {"status": {"reason": "Evicted", "message": 'Usage of EmptyDir volume "shm" exceeds the limit "1Gi".'}},
        'Evicted: Usage of EmptyDir volume "shm" exceeds the limit "1Gi".; ',
        "nashflow: raise cluster.steps.training.shared_memory, and submit the recipe again with --run-root ",
    ),
    "more on another volume than it may": (
        {"status": {"reason": "Evicted", "message": 'Usage of EmptyDir volume "other" exceeds the limit "1Gi".'}},
        'Evicted: Usage of EmptyDir volume "other" exceeds the limit "1Gi".; ',
        "nashflow: resume it with `nashflow retry ",
    ),
    "no such command": (
        {"state": terminated("StartError", 128, 'exec: "python3": executable file not found in $PATH')},
        'StartError: exec: "python3": executable file not found in $PATH',
        "set cluster.images.steps to an image of NashFlow",
    ),
}


@pytest.mark.parametrize("name", ENDED)
def test_a_step_that_was_ended_from_outside_says_what_to_set(
    failed: Callable[..., Done], cluster: PodServer, name: str
) -> None:
    """Its own last words have nothing to do with it."""
    more, said, advice = ENDED[name]
    done = failed(
        lambda run: cluster.add(pod(run, NODE, "Failed", **more), "half-way through"),
        TRAINING,
        run_root="s3://bucket/one",
    )
    first, second = ending(done)
    assert said in first
    assert "half-way" not in first
    assert advice in second
    assert "its log" not in second


def test_a_failed_driver_is_told_by_its_last_complaint(failed: Callable[..., Done], cluster: PodServer) -> None:
    lines = (
        *LAUNCHER,
        "E0821 03:00:30.728976      15 main.go:90] KFP driver: driver.Container() failed: no execution found",
        "I0821 03:00:30.808929      15 main.go:91] bye",
        *FAILED_LAUNCHER[3:],
    )
    done = failed(
        lambda run: cluster.add(pod(run, f"{NODE}-driver", "Failed", state=terminated()), *lines),
        node(f"{NODE}-driver", "FAILED", start=20, seconds=3),
        node(f"{NODE}-driver(0)", "FAILED", start=20, seconds=3),
    )
    first, second = ending(done)
    assert f"{NODE}-driver: KFP driver: driver.Container() failed: no execution found; " in first
    assert f"--step {NODE}-driver " in second
    (line,) = [line for line in done.out.splitlines() if line.startswith("iteration 1")]
    assert line.startswith("iteration 1  main      training                failed  its driver: KFP driver: ")


def test_a_graphs_driver_has_a_line_too(failed: Callable[..., Done], cluster: PodServer) -> None:
    lines = ("F0821 03:00:30.728976 15 main.go:90] failed to get the launcher's ConfigMap: no such thing",)
    done = failed(
        lambda run: cluster.add(pod(run, "root-driver", "Failed", state=terminated()), *lines),
        node("root-driver", "FAILED", start=2, seconds=3),
    )
    assert "root-driver: failed to get the launcher's ConfigMap: no such thing" in ending(done)[0]


@pytest.mark.parametrize(
    ("loop", "place"), [("shards-002", "iteration 2  main      "), ("shards-002-extra", "iteration 2  extra     ")]
)
def test_the_driver_of_a_loop_stands_beside_its_iteration(
    failed: Callable[..., Done], cluster: PodServer, loop: str, place: str
) -> None:
    cluster.forbidden = "."
    done = failed(lambda run: None, node(f"{loop}-driver", "FAILED", start=2, seconds=3))
    (line,) = [line for line in done.out.splitlines() if line.startswith("iteration")]
    assert line == f"{place}shards                  failed  its driver"


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            'pods "x" is forbidden: error looking up service account kubeflow/nope: serviceaccount "nope" not found',
            "make it in the namespace kubeflow, or name another one in cluster.service_account, and submit the recipe",
        ),
        (
            "Error (exit code 64): workflowtaskresults.argoproj.io is forbidden: User "
            '"system:serviceaccount:kubeflow:poor" cannot create resource',
            "give this service account the right, as the chart's role for steps does",
        ),
    ],
)
def test_what_argo_alone_knows_is_told_from_the_workflow(
    failed: Callable[..., Done], cluster: PodServer, said: str, advice: str
) -> None:
    def prepare(run_id: str) -> None:
        cluster.workflows = [workflow(run_id, root_driver=("Error", said))]

    first, second = ending(failed(prepare, node("root-driver", "FAILED", start=2, seconds=3)))
    assert f"root-driver: {said}; " in first
    assert advice in second
    assert "its log" not in second


def test_a_service_account_without_rights_is_told_by_the_drivers_words(
    failed: Callable[..., Done], cluster: PodServer
) -> None:
    said = 'configmaps "kfp-launcher" is forbidden: User "system:serviceaccount:team:poor" cannot get resource'
    done = failed(
        lambda run: cluster.add(
            pod(run, "root-driver", "Failed", state=terminated()), f"F0821 03:00:30.728976 15 main.go:90] {said}"
        ),
        node("root-driver", "FAILED", start=2, seconds=3),
    )
    assert "give this service account the right" in ending(done)[1]


def test_what_failed_is_found_by_its_pods_where_kfp_does_not_show_it(
    failed: Callable[..., Done], cluster: PodServer
) -> None:
    """A pod that was lost and made again has not failed."""

    def prepare(run: str) -> None:
        lost = pod(run, "rollout-001-main", "Failed", status={"reason": "Evicted"}, created="2026-08-21T02:00:00Z")
        cluster.add(lost)
        cluster.add(pod(run, "rollout-001-main", "Succeeded", attempt=1, state=terminated("Completed", 0)))
        cluster.add(pod(run, NODE, "Failed", state=terminated()), *log("training: a wrong setting", code=2))

    first, second = ending(failed(prepare))
    assert f": {NODE}: training: a wrong setting; " in first
    assert "correct the recipe" in second


def test_of_several_shards_those_that_failed_are_counted(
    call: Call, submit: Call, kfp: KfpServer, cluster: PodServer
) -> None:
    submit("--set", "prompts.shards=3")
    (run_id,) = kfp.runs
    around = "shards-1(0).iteration-iterations(1:1)(0).iteration-item(0)."
    cluster.add(pod(run_id, "rollout", "Failed", state=terminated(), around=around), *log("out of luck", code=1))
    states = ("SUCCEEDED", "FAILED", "RUNNING")
    shards = [node("rollout", state, start=5, seconds=None if state == "RUNNING" else 9) for state in states]
    shards.append(node("shards-1", "RUNNING", start=2))
    kfp.script = [Snapshot("RUNNING", shards), Snapshot("FAILED", shards)]
    done = call("wait", run_id, "--host", kfp.url)
    (line,) = [line for line in done.out.splitlines() if line.startswith("iteration 1")]
    assert line == "iteration 1  main      rollout                 failed  1 of 3 shards: out of luck"


def test_the_image_of_a_step_is_named_as_the_graph_has_it(
    call: Call, submit: Call, kfp: KfpServer, cluster: PodServer
) -> None:
    submit("--set", "cluster.steps={training: {accelerators: 1, shared_memory: 1Gi}}")
    (run_id,) = kfp.runs
    cluster.add(pod(run_id, NODE, "Failed", state=terminated("StartError", 128, "no such file")))
    kfp.script = [Snapshot("FAILED", [TRAINING])]
    done = call("wait", run_id, "--host", kfp.url)
    assert "set cluster.images.training to an image of NashFlow" in done.err


def test_a_run_that_is_cancelled_is_not_explained(call: Call, kfp: KfpServer, cluster: PodServer) -> None:
    run = begun(kfp)
    cluster.add(pod(run.run_id, NODE, "Failed", state=terminated("Error", 143)), *log("terminated", code=143))
    kfp.script = [Snapshot("FAILED", [TRAINING, node("closing-driver", "FAILED", start=25, seconds=1)])]
    kfp._terminate(run.run_id, b"")
    done = call("wait", run.run_id, "--host", kfp.url)
    first, second = ending(done)
    assert " was cancelled after 2 min 5 s: " in first
    assert second.startswith("nashflow: resume it with `nashflow retry ")
    assert done.out.splitlines()[1:] == ["iteration 1  main      training             cancelled"]


def test_a_run_that_says_itself_that_it_was_cancelled_was(
    failed: Callable[..., Done], kfp: KfpServer, tmp_path: Path
) -> None:
    """Somebody has stopped its workflow, not KFP."""
    folder = tmp_path / "root"

    def prepare(run_id: str) -> None:
        Root(folder, kfp.now()).end(run_id, "cancelled")

    assert " was cancelled after" in ending(failed(prepare, run_root=str(folder)))[0]


def test_without_pods_the_log_decides_what_to_do(failed: Callable[..., Done], cluster: PodServer) -> None:
    cluster.forbidden = "."
    first, second = ending(failed(lambda run: None, TRAINING))
    assert f": {NODE}; http" in first
    assert "if it names a mistake in the recipe, correct it and submit again; otherwise resume it" in second


# --- as a real Kubeflow said it --------------------------------------------------------------------------------------


@pytest.fixture
def replay(call: Call, kfp: KfpServer, cluster: PodServer) -> Callable[..., Done]:
    """`nashflow wait` of a recorded run, with recorded pods and what they wrote; one that was at work then ends so."""

    def run(name: str, pods: dict[str, str], ends: str = "") -> Done:
        made = parsed(recording(f"run-{name}.json").read_bytes(), "V2beta1Run")
        kfp.runs[made.run_id], kfp.script = made, []
        made.state = ends or made.state
        for file, text in pods.items():
            cluster.add(json.loads(recording(f"pod-{file}.json").read_text()), *text.splitlines())
        return call("wait", made.run_id, "--host", kfp.url)

    return run


def tasks(done: Done) -> list[str]:
    """The steps in the lines, with their iteration, in order."""
    lines = [line for line in done.out.splitlines() if line.startswith(("   ", "iteration"))]
    return [f"{line[23:35].strip()} {line[:13].removeprefix('iteration').strip()}".strip() for line in lines]


LOOP = ("rollout", "judging", "logprobs", "training", "evaluation")


@needs_recordings
@pytest.mark.parametrize("name", ["pod-deleted", "retried", "scheduled"])
def test_a_recorded_run_that_succeeds_has_a_line_a_task(replay: Callable[..., Done], name: str) -> None:
    done = replay(name, {})
    assert (done.code, done.err) == (0, "")
    assert tasks(done) == ["preparation", "evaluation 0", *(f"{step} 1" for step in LOOP), "reporting", "closing"]


@needs_recordings
def test_a_recorded_run_whose_details_stopped_has_a_line_for_each_task_before(replay: Callable[..., Done]) -> None:
    done = replay("succeeded", {})
    assert done.code == 0
    assert tasks(done) == ["preparation", "evaluation 0", *(f"{step} {t}" for t in (1, 2) for step in LOOP)]


@needs_recordings
def test_a_recorded_run_with_sixteen_shards_shows_none_of_its_inner_nodes(replay: Callable[..., Done]) -> None:
    done = replay("sixteen-shards", {}, ends="SUCCEEDED")
    assert tasks(done) == ["preparation", "evaluation 0"]


@needs_recordings
def test_a_recorded_fault_of_the_recipe(replay: Callable[..., Done]) -> None:
    done = replay("bad-input", {"bad-input": recording("log-bad-input.txt").read_text()})
    first, second = ending(done)
    assert ": preparation: /models/t/nothere.jsonl: no such file; set prompts.path to a JSON" in first
    assert "correct the recipe or the run's settings, and submit it again" in second
    assert tasks(done) == ["preparation", "closing"]


@needs_recordings
def test_a_recorded_run_out_of_memory(replay: Callable[..., Done]) -> None:
    done = replay("oom-killed", {"oom-killed": ""})
    first, second = ending(done)
    assert ": evaluation-000: OOMKilled; " in first
    assert "raise cluster.steps.evaluation.memory (now 120Mi)" in second
    assert "with --run-root s3://nashflow/runs/ebc300e6-ced3-4bd6-942d-937d9df704a2, where" in second
    assert tasks(done) == ["preparation", "evaluation 0", "closing"]


@needs_recordings
def test_a_recorded_run_whose_driver_failed(replay: Callable[..., Done]) -> None:
    done = replay("failed-driver", {})
    first, second = ending(done)
    assert ": evaluation-000-driver; " in first
    assert "--step evaluation-000-driver" in second
    assert tasks(done) == ["preparation", "evaluation 0", "closing"]


@needs_recordings
def test_a_recorded_run_whose_first_task_failed(replay: Callable[..., Done]) -> None:
    done = replay("failed-first-task", {})
    assert ": preparation; closing; " in ending(done)[0]
    assert tasks(done) == ["preparation", "closing"]


@needs_recordings
def test_a_recorded_run_that_was_cancelled(replay: Callable[..., Done]) -> None:
    done = replay("cancelled", {})
    assert " was cancelled after" in ending(done)[0]
    assert tasks(done) == ["preparation", "evaluation 0", "rollout 1"]
