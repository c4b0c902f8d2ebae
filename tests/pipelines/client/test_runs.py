"""`nashflow runs`, `cancel`, `retry` and `logs`."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Call
from .server import Fault, KfpServer, Snapshot


def at(kfp: KfpServer, run: Any, state: str) -> None:
    """Take a run to a state at once."""
    kfp.script = []
    kfp.advance(run, Snapshot(state))


def test_runs_lists_the_newest_first(submit: Call, call: Call, kfp: KfpServer) -> None:
    for _ in range(4):
        submit()
    _, second, third, fourth = kfp.runs.values()
    at(kfp, third, "SUCCEEDED")
    out = call("runs", "--limit", 3, "--host", kfp.url).out
    rows = [line.split() for line in out.splitlines() if "quickstart" in line]
    assert [row[0] for row in rows] == [run.display_name for run in (fourth, third, second)]
    assert rows[1][1:] == [
        "succeeded", "2026-08-21", f"03:00:{third.created_at.second:02}", "2", "min", "5", "s",
        f"{kfp.url}/#/runs/details/{third.run_id}",
    ]  # fmt: skip
    assert rows[0][1] == "pending"


def test_runs_of_one_experiment(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit("--experiment", "a")
    submit("--experiment", "b")
    (run, _) = kfp.runs.values()
    out = call("runs", "--experiment", "a", "--host", kfp.url).out
    assert [line.split()[0] for line in out.splitlines() if "quickstart" in line] == [run.display_name]
    refused = call("runs", "--experiment", "c", "--host", kfp.url)
    assert (refused.code, "--experiment c: " in refused.line) == (2, True)


def test_a_run_is_found_by_exactly_its_name(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    unknown = call("cancel", run.display_name.upper(), "--host", kfp.url)
    assert (unknown.code, "knows no run of this id or name" in unknown.line) == (2, True)
    submit()
    _, other = kfp.runs.values()
    other.display_name = run.display_name = "100% + more"
    several = call("cancel", "100% + more", "--host", kfp.url)
    assert (several.code, f"give an id: {run.run_id}, {other.run_id}" in several.line) == (2, True)


@pytest.mark.parametrize("by", ["run_id", "display_name"])
def test_cancel(submit: Call, call: Call, kfp: KfpServer, by: str) -> None:
    submit()
    (run,) = kfp.runs.values()
    done = call("cancel", getattr(run, by), "--host", kfp.url)
    assert (done.code, done.out) == (0, f"{run.display_name} ({run.run_id}): being cancelled\n")
    assert "CANCELING" in [entry.state for entry in run.state_history]
    at(kfp, run, "FAILED")
    refused = call("cancel", run.run_id, "--host", kfp.url)
    assert (refused.code, refused.line) == (2, f"nashflow: {run.display_name}: has ended already (failed)")


# --- retry -----------------------------------------------------------------------------------------------------------


def test_retry_goes_on_under_the_same_run_root(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit("--service-account", "trainer")
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    done = call("retry", run.run_id, "--host", kfp.url)
    (_, again) = kfp.runs.values()
    assert (done.code, again.run_id in done.out) == (0, True)
    assert again.display_name != run.display_name
    assert again.display_name.startswith("quickstart-")
    for same in ("pipeline_version_reference", "experiment_id", "service_account"):
        assert getattr(again, same) == getattr(run, same)
    assert again.runtime_config.parameters == {"run_root": ROOT, "set": "", "takes_over": run.run_id}


def test_retry_of_a_firing_keeps_its_run_root(call: Call, kfp: KfpServer) -> None:
    """Also when it is retried a second time; and the lock's owner stays the first job."""
    sets = ["--set", "run.iterations=1", "--run-root", "s3://bucket/{job}"]
    call("schedule", "quickstart", *sets, "--cron", "0 0 3 * * 1", "--name", "weekly", "--host", kfp.url)
    first = kfp.fire("weekly")
    at(kfp, first, "FAILED")
    call("retry", first.run_id, "--host", kfp.url)
    second = list(kfp.runs.values())[-1]
    at(kfp, second, "FAILED")
    call("retry", second.run_id, "--host", kfp.url)
    third = list(kfp.runs.values())[-1]
    assert len(kfp.runs) == 3
    for again in (second, third):
        assert again.runtime_config.parameters == {
            "run_root": f"s3://bucket/{first.run_id}",
            "set": "",
            "takes_over": first.run_id,
            "only_new_prompts": True,
        }


@pytest.mark.parametrize(("when", "code", "runs"), [("before", 75, 1), ("after", 0, 2)])
def test_retry_starts_one_run_at_most_through_a_broken_request(
    submit: Call, call: Call, kfp: KfpServer, when: str, code: int, runs: int
) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    kfp.faults = [Fault("POST .*/runs", "reset", when)]
    assert (call("retry", run.run_id, "--host", kfp.url).code, len(kfp.runs)) == (code, runs)


def test_what_is_retried_already_is_not_retried_again(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    assert call("retry", run.run_id, "--host", kfp.url).code == 0
    *_, second = kfp.runs.values()
    at(kfp, second, "RUNNING")
    refused = call("retry", run.run_id, "--host", kfp.url)
    assert (refused.code, len(kfp.runs)) == (2, 2)
    assert (
        f"{second.display_name} goes on with it already, and is running: `nashflow wait {second.run_id}" in refused.line
    )
    at(kfp, second, "FAILED")
    assert call("retry", run.run_id, "--host", kfp.url).code == 0
    *_, third = kfp.runs.values()
    at(kfp, third, "RUNNING")
    refused = call("retry", second.run_id, "--host", kfp.url)
    assert (refused.code, third.display_name in refused.line) == (2, True)


def test_retry_waits_if_that_is_wanted(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    kfp.script = [Snapshot("RUNNING"), Snapshot("SUCCEEDED")]
    done = call("retry", run.run_id, "--wait", "--host", kfp.url)
    assert (done.code, "succeeded in" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("SUCCEEDED", "succeeded; there is nothing to go on with"),
        ("RUNNING", "is running; wait for its end, or `nashflow cancel` it"),
        ("PENDING", "is pending; wait for its end"),
    ],
)
def test_what_is_not_retried(submit: Call, call: Call, kfp: KfpServer, state: str, words: str) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, state)
    refused = call("retry", run.run_id, "--host", kfp.url)
    assert (refused.code, words in refused.line, len(kfp.runs)) == (2, True, 1)


def test_a_run_of_something_else_is_not_retried(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    at(kfp, run, "FAILED")
    run.runtime_config = None
    refused = call("retry", run.run_id, "--host", kfp.url)
    assert (refused.code, "was not submitted by nashflow" in refused.line) == (2, True)


# --- logs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def logs(submit: Call, call: Call, kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`nashflow logs` of a run that has two steps' pods; the server is the Kubernetes API too."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": kfp.url}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    submit()
    (run_id,) = kfp.runs
    add_pod(kfp, run_id, "training-001-main.executor(1)", "training", 20, "b")
    add_pod(kfp, run_id, "rollout-001-main.executor", "rollout", 10, "a")
    add_pod(kfp, run_id, "rollout-001-main-driver", "", 5, "driver")
    add_pod(kfp, "another", "rollout-001-main.executor", "rollout", 1, "c")

    def run(*options: Any) -> Any:
        return call("logs", run_id, "--host", kfp.url, *options)

    return run


def add_pod(kfp: KfpServer, run_id: str, node: str, step: str, second: int, name: str) -> None:
    kfp.pods.append(
        {
            "metadata": {
                "name": name,
                "namespace": "kubeflow",
                "creationTimestamp": f"2026-08-21T03:00:{second:02}Z",
                "labels": {"pipeline/runid": run_id} | ({"nashflow/step": step} if step else {}),
                "annotations": {"workflows.argoproj.io/node-name": f"quickstart-x.root.iteration-001.{node}"},
            },
            "spec": {"containers": [{"name": "main"}]},
            "status": {"phase": "Succeeded"},
        }
    )
    kfp.logs[name] = f"log of {name} [50%]\n"


def test_logs_are_those_of_the_steps_in_their_order(logs: Call) -> None:
    done = logs()
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "==> rollout-001-main, pod a, Succeeded <==",
        "log of a [50%]",
        "==> training-001-main, pod b, Succeeded <==",
        "log of b [50%]",
    ]


def test_a_pod_without_a_log_does_not_hide_those_of_others(logs: Call, kfp: KfpServer) -> None:
    waiting = {"name": "main", "ready": False, "restartCount": 0, "image": "a", "imageID": "", "state": {}}
    kfp.pods[1]["status"] = {
        "phase": "Pending",
        "containerStatuses": [waiting | {"state": {"waiting": {"reason": "ContainerCreating"}}}],
    }
    run_id = kfp.pods[0]["metadata"]["labels"]["pipeline/runid"]
    add_pod(kfp, run_id, "judging-001-main.executor", "judging", 15, "gone")
    del kfp.logs["gone"]
    done = logs()
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "==> rollout-001-main, pod a, Pending <==",
        'no log: container "main" in pod "a" is waiting to start: ContainerCreating (400)',
        "==> judging-001-main, pod gone, Succeeded <==",
        'no log: pods "gone" not found (404)',
        "==> training-001-main, pod b, Succeeded <==",
        "log of b [50%]",
    ]


def test_logs_are_sought_in_the_namespace_that_the_run_was_found_in(logs: Call, kfp: KfpServer, tmp_path: Path) -> None:
    (tmp_path / "context.json").write_text('{"namespace": "team"}')
    for pod in kfp.pods:
        pod["metadata"]["namespace"] = "team"
    assert "log of a" in logs().out


@pytest.mark.parametrize("step", ["training", "training-001-main"])
def test_logs_of_one_step_or_task(logs: Call, step: str) -> None:
    out = logs("--step", step).out
    assert ("log of b" in out, "log of a" in out) == (True, False)


def test_logs_say_when_the_pods_are_gone_and_where_to_look(logs: Call, kfp: KfpServer) -> None:
    (run,) = kfp.runs.values()
    assert f"<pipeline>/{run.run_id}/<task>/…/executor-logs" in logs("--step", "judging").line
    kfp.pods.clear()
    done = logs()
    assert done.code == 2
    assert f"the run {run.run_id} has no pods in the namespace kubeflow, or not any more" in done.line
    assert "below the pipeline root (defaultPipelineRoot in the ConfigMap kfp-launcher)" in done.line
    run.runtime_config.pipeline_root = "s3://root"
    assert "lie below s3://root, in" in logs().line
    assert "in the namespace team" in logs("--namespace", "team").line


def test_logs_without_the_right_to_read_pods(logs: Call, kfp: KfpServer) -> None:
    kfp.faults = [Fault("GET .*/pods", "403")]
    done = logs()
    assert (done.code, "in the namespace kubeflow: try again later (403)" in done.line) == (2, True)
    assert "executor-logs" in done.line
    kfp.faults = [Fault("GET .*/log", "403")]
    assert logs().code == 2


def test_logs_without_a_cluster_at_hand(logs: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    done = logs()
    assert (done.code, "logs are read from pods: name a --kube-context" in done.line) == (2, True)
