"""`nashflow logs`: what pods have written, and what they keep printing."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.pipelines.cluster.pods import follow_logs

from ..conftest import Call, Done, begun
from ..pod_server import Json, PodServer, pod, waiting
from ..server import KfpServer, Snapshot

ARGO = 'time=2026-08-21T03:00:28.035Z level=INFO msg="capturing logs" argo=true'
KFP = "I0821 03:00:30.808929      15 launcher_v2.go:206] publish success."
ENDED: Json = {"terminated": {"reason": "Completed", "exitCode": 0}}
AT_WORK: Json = {"running": {}}


def step(run_id: str, node: str, second: int, **more: Any) -> Json:
    created = f"2026-08-21T03:00:{second:02}Z"
    return pod(run_id, node, more.pop("phase", "Succeeded"), created=created, **{"state": ENDED, **more})


@pytest.fixture
def logs(call: Call, kfp: KfpServer, cluster: PodServer) -> Call:
    """`nashflow logs` of a run that has two steps' pods, and drivers."""
    run_id = begun(kfp).run_id
    cluster.add(step(run_id, "training-001-main", 20, name="b", attempt=1), "log of b [50%]")
    cluster.add(step(run_id, "rollout-001-main", 10, name="a"), ARGO, "log of a [50%]", KFP)
    cluster.add(step(run_id, "rollout-001-main-driver", 5, name="driver"), KFP)
    cluster.add(step("another", "rollout-001-main", 1, name="c"), "log of c")

    def run(*options: Any) -> Done:
        return call("logs", run_id, "--host", kfp.url, *options)

    return run


def test_logs_are_those_of_the_steps_in_their_order_without_kfps_and_argos_lines(logs: Call) -> None:
    done = logs()
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "==> rollout-001-main, pod a, Succeeded <==",
        "log of a [50%]",
        "==> training-001-main, pod b, Succeeded <==",
        "log of b [50%]",
    ]


def test_raw_logs_are_whole(logs: Call) -> None:
    assert logs("--raw").out.splitlines()[1:4] == [ARGO, "log of a [50%]", KFP]


@pytest.mark.parametrize("name", ["training", "training-001-main"])
def test_logs_of_one_step_or_task(logs: Call, name: str) -> None:
    out = logs("--step", name).out
    assert ("log of b" in out, "log of a" in out) == (True, False)


def test_the_log_of_a_driver_is_there_for_the_asking(logs: Call) -> None:
    assert logs("--step", "rollout-001-main-driver").out.splitlines() == [
        "==> rollout-001-main-driver, pod driver, Succeeded <==",
        KFP,
    ]


@pytest.mark.parametrize("name", ["", "judging", "judging-001-main", "judging-001-main-driver"])
def test_the_log_of_a_driver_that_failed_is_always_shown(
    logs: Call, kfp: KfpServer, cluster: PodServer, name: str
) -> None:
    """In the place of the step that never began."""
    (run_id,) = kfp.runs
    cluster.add(step(run_id, "judging-001-main-driver", 15, phase="Failed"), f"F{KFP[1:]}")
    assert f"==> judging-001-main-driver, pod judging-001-main-driver-0, Failed <==\nF{KFP[1:]}\n" in (
        logs(*(["--step", name] if name else [])).out
    )


def test_a_pod_without_a_log_does_not_hide_those_of_others(logs: Call, kfp: KfpServer, cluster: PodServer) -> None:
    (run_id,) = kfp.runs
    cluster.add(step(run_id, "judging-001-main", 15, phase="Pending", state=waiting("ContainerCreating")))
    done = logs()
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[2:5] == [
        "==> judging-001-main, pod judging-001-main-0, Pending <==",
        'no log: container "main" in pod "judging-001-main-0" is waiting to start (400)',
        "==> training-001-main, pod b, Succeeded <==",
    ]


def test_logs_are_sought_in_the_namespace_that_the_run_was_found_in(
    logs: Call, cluster: PodServer, tmp_path: Path
) -> None:
    (tmp_path / "context.json").write_text('{"namespace": "team"}')
    for made in cluster.pods:
        made["metadata"]["namespace"] = "team"
    assert "log of a" in logs().out


def test_logs_say_when_the_pods_are_gone_and_where_to_look(logs: Call, kfp: KfpServer, cluster: PodServer) -> None:
    (run,) = kfp.runs.values()
    assert f"<pipeline>/{run.run_id}/<task>/…/executor-logs" in logs("--step", "judging").line
    cluster.pods.clear()
    done = logs()
    assert done.code == 2
    assert f"the run {run.run_id} has no pods in the namespace kubeflow, or not any more" in done.line
    assert "below the pipeline root (defaultPipelineRoot in the ConfigMap kfp-launcher)" in done.line
    run.runtime_config.pipeline_root = "s3://root"
    assert "lie below s3://root, in" in logs().line
    assert "in the namespace team" in logs("--namespace", "team").line


@pytest.mark.parametrize("options", [[], ["--follow"]])
def test_a_step_that_does_not_exist_is_refused_at_once(
    call: Call, submit: Call, kfp: KfpServer, cluster: PodServer, options: list[str]
) -> None:
    submit()
    (run_id,) = kfp.runs
    for wrong, right in (("trainin", "training"), ("judgin-001-main", "judging-001-main")):
        done = call("logs", run_id, "--host", kfp.url, "--step", wrong, *options)
        assert done.code == 2
        assert done.line.startswith(f"nashflow: --step {wrong}: ")
        assert done.line.endswith(f"; did you mean {right}?")
    assert not cluster.seen


def test_following_what_is_not_there_is_refused_at_the_runs_end(logs: Call, story: "Story", kfp: KfpServer) -> None:
    for run in kfp.runs.values():
        run.state = "SUCCEEDED"
    done = logs("--follow", "--step", "judging")
    assert (done.code, done.out) == (2, "")
    assert "--step judging: the run" in done.line
    assert "has no such pod, or not any more; logs of steps that have ended lie below" in done.line


@pytest.mark.parametrize("what", ["/pods", "/log"])
@pytest.mark.parametrize("options", [[], ["--follow"]])
def test_logs_without_the_right_to_read_pods(logs: Call, cluster: PodServer, what: str, options: list[str]) -> None:
    cluster.forbidden = f"{what}$"
    done = logs(*options)
    assert done.code == 2
    assert "in the namespace kubeflow: " in done.line
    assert 'User "me" cannot do that (403)' in done.line
    assert "executor-logs" in done.line


def test_logs_without_a_cluster_at_hand(logs: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    done = logs()
    assert (done.code, "pods are read through Kubernetes: name a --kube-context" in done.line) == (2, True)


# --- follow ----------------------------------------------------------------------------------------------------------


class Story:
    """What happens to a run and its pods while its logs are followed, each thing once what it waits for is printed."""

    def __init__(self, kfp: KfpServer, cluster: PodServer) -> None:
        self.kfp, self.cluster = kfp, cluster
        self.run = begun(kfp)
        self.kfp.script = [Snapshot("RUNNING")]

    def add(self, node: str, *lines: str, **more: Any) -> Json:
        """A pod that is at work."""
        made = step(self.run.run_id, node, len(self.cluster.pods), **{"phase": "Running", "state": AT_WORK, **more})
        return self.cluster.add(made, *lines)

    def write(self, made: Json, *lines: str, stamp: str = "") -> None:
        """More lines of a pod."""
        self.cluster.logs[made["metadata"]["uid"]].write(*lines, stamp=stamp)

    def end(self, made: Json) -> None:
        """A pod's end."""
        made["status"] = {"phase": "Succeeded", "containerStatuses": [{"name": "main", "state": ENDED}]}
        self.cluster.logs[made["metadata"]["uid"]].ended = True

    def over(self, state: str = "SUCCEEDED") -> None:
        """The run's end."""
        self.kfp.script = [Snapshot(state)]


@pytest.fixture
def story(kfp: KfpServer, cluster: PodServer, monkeypatch: pytest.MonkeyPatch) -> Story:
    monkeypatch.setattr(follow_logs, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(follow_logs, "_AGAIN_SECONDS", 0.01)
    return Story(kfp, cluster)


@pytest.fixture
def follow(call: Call, story: Story, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`nashflow logs --follow`: the lines. Each of `then` happens when its line has been printed."""

    def run(then: dict[str, Callable[[], object]], *options: str) -> list[str]:
        waiting_for = dict(then)
        whole = follow_logs.Console.print

        def noted(console: Any, line: str, **more: Any) -> None:
            whole(console, line, **more)
            if happens := waiting_for.pop(line, None):
                threading.Timer(0.02, happens).start()

        monkeypatch.setattr(follow_logs.Console, "print", noted)
        done = call("logs", story.run.run_id, "--follow", "--host", story.kfp.url, *options)
        assert (done.code, done.err, waiting_for) == (0, "", {})
        return done.out.splitlines()

    return run


def test_a_step_is_followed_from_its_beginning_to_the_runs_end(follow: Callable[..., list[str]], story: Story) -> None:
    training = story.add("training-001-main", ARGO, "one")
    story.add("rollout-001-main", "another step's")

    def later() -> None:
        story.write(training, "two", KFP, "three")

    def ends() -> None:
        story.write(training, "four")
        story.end(training)
        story.over()

    assert follow({"one": later, "three": ends}, "--step", "training") == [
        "==> training-001-main, pod training-001-main-0, Running <==",
        *("one", "two", "three", "four"),
    ]


def test_pods_that_begin_later_are_followed_and_a_header_says_who_speaks(
    follow: Callable[..., list[str]], story: Story
) -> None:
    rollout = story.add("rollout-001-main", "a 1")
    made: list[Json] = []

    def next_one() -> None:
        story.end(rollout)
        made.append(story.add("judging-001-main", state=waiting("ContainerCreating"), phase="Pending"))
        threading.Timer(0.1, starts).start()

    def starts() -> None:
        made[0]["status"] = {"phase": "Running", "containerStatuses": [{"name": "main", "state": AT_WORK}]}
        story.write(made[0], "b 1")

    def ends() -> None:
        story.end(made[0])
        story.over("FAILED")

    assert follow({"a 1": next_one, "b 1": ends}) == [
        "==> rollout-001-main, pod rollout-001-main-0, Running <==",
        "a 1",
        "==> judging-001-main, pod judging-001-main-0, Running <==",
        "b 1",
    ]


def test_a_pod_that_is_lost_and_made_again_under_its_name_is_followed(
    follow: Callable[..., list[str]], story: Story, cluster: PodServer
) -> None:
    first = story.add("training-001-main", "update 1", "update 2")
    made: list[Json] = []

    def lost() -> None:
        cluster.pods.remove(first)
        made.append(story.add("training-001-main", "update 2 again", uid=2))

    def retried_in_the_pod() -> None:
        story.write(made[0], "attempt 1 of 3 failed: the store is away", "update 2 once more")

    def ends() -> None:
        story.end(made[0])
        story.over()

    header = "==> training-001-main, pod training-001-main-0, Running <=="
    lines = follow({"update 2": lost, "update 2 again": retried_in_the_pod, "update 2 once more": ends})
    assert lines == [
        *(header, "update 1", "update 2"),
        *(header, "update 2 again", "attempt 1 of 3 failed: the store is away", "update 2 once more"),
    ]


def test_a_connection_that_breaks_loses_no_line_and_repeats_none(
    follow: Callable[..., list[str]], story: Story, cluster: PodServer
) -> None:
    """Lines of one instant, too."""
    training = story.add("training-001-main")
    cluster.logs[training["metadata"]["uid"]].cuts = 4
    stamp = "2026-08-21T03:30:00.000000000Z"
    for number in range(6):
        story.write(training, f"line {number}", stamp=stamp if number < 3 else "")

    def ends() -> None:
        story.write(training, "the last line", stamp="2026-08-21T04:00:00.000000000Z")
        story.end(training)
        story.over()

    for position, (_, text) in enumerate(cluster.logs[training["metadata"]["uid"]].lines[3:], 3):
        later = f"2026-08-21T03:30:{position:02}.000000000Z"
        cluster.logs[training["metadata"]["uid"]].lines[position] = (later, text)
    assert follow({"line 5": ends})[1:] == [*(f"line {number}" for number in range(6)), "the last line"]


def test_a_run_that_is_over_is_read_to_its_end(follow: Callable[..., list[str]], story: Story) -> None:
    for node in ("rollout-001-main", "judging-001-main"):
        story.end(story.add(node, f"{node} 1", f"{node} 2"))
    story.over()
    lines = follow({})
    assert sorted(line for line in lines if "==>" not in line) == [
        f"{node} {number}" for node in ("judging-001-main", "rollout-001-main") for number in (1, 2)
    ]


def test_a_kubernetes_api_that_is_away_for_a_while_is_outlived(
    follow: Callable[..., list[str]], story: Story, cluster: PodServer
) -> None:
    training = story.add("training-001-main", "one")
    answer = cluster.answer

    def away() -> None:
        cluster.answer = lambda path, query: (503, {"message": "away"})  # type: ignore[method-assign]
        cluster.logs[training["metadata"]["uid"]].cuts = 1
        story.write(training, "two")
        threading.Timer(0.2, back).start()

    def back() -> None:
        cluster.answer = answer  # type: ignore[method-assign]
        story.write(training, "three")
        story.end(training)
        story.over()

    assert follow({"one": away})[1:] == ["one", "two", "three"]


def test_an_interrupt_ends_it_at_once(logs: Call, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.add("training-001-main", "one")

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(follow_logs, "_until", interrupted)
    began = time.monotonic()
    done = logs("--follow")
    assert done.code == 130
    assert time.monotonic() - began < 60
