"""A pod that does not start is told while its run is followed: why, and what to set; once, and when it is over."""

import base64
import copy
import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.recordings import needs_recordings, recording

from ..conftest import Call, Done, begun
from ..pod_server import Json, PodServer, event, pod, unschedulable, waiting, workflow
from ..server import KfpServer, Snapshot, node

NODE = "training-001-main"
PULL = 'failed to pull and unpack image "registry.example.com/team/steps:1"'
TASKS = [node("preparation", seconds=5), node(NODE, "RUNNING", start=5)]


@pytest.fixture
def follow(call: Call, kfp: KfpServer, cluster: PodServer) -> Callable[..., Done]:
    """`nashflow wait` of a run; before each poll `change` may do something to the cluster; it ends by itself."""

    def run(change: Callable[[str, int], None], polls: int = 6) -> Done:
        run_id = begun(kfp).run_id
        kfp.script = [Snapshot("RUNNING", TASKS)] * polls + [Snapshot("SUCCEEDED")]
        kfp.on_poll = lambda poll: change(run_id, poll - 1) if poll else None  # the first one is to find the run
        return call("wait", run_id, "--host", kfp.url)

    return run


def told(done: Done) -> list[str]:
    """The lines about the task."""
    assert done.code == 0
    return [line for line in done.out.splitlines() if line.startswith("iteration 1  main      training")]


def once(
    cluster: PodServer, make: Callable[[str], Json], *events: Callable[[Json], Json]
) -> Callable[[str, int], None]:
    """A pod that is there from the first poll on."""

    def change(run_id: str, poll: int) -> None:
        if poll == 0:
            made = cluster.add(make(run_id))
            cluster.events = [each(made) for each in events]

    return change


def a_pod(**more: Any) -> Callable[[str], Json]:
    return lambda run_id: pod(run_id, NODE, **more)


SHARED = {"volumes": [{"name": "nashflow-models", "persistentVolumeClaim": {"claimName": "models"}}]}
STUCK: dict[str, tuple[Callable[[str], Json], list[Any], str, str]] = {
    "no such image": (
        a_pod(state=waiting("ErrImagePull", f"{PULL}: not found")),
        [],
        f"cannot start  ErrImagePull: {PULL}: not found",
        "set cluster.images.steps to an image that the nodes can pull",
    ),
    "no keys for the registry": (
        a_pod(state=waiting("ImagePullBackOff", f"{PULL}: 401 Unauthorized")),
        [],
        "cannot start  ImagePullBackOff:",
        "name a Secret with keys of its registry in cluster.image_pull_secrets",
    ),
    "no node large enough": (
        a_pod(
            status=unschedulable(
                "0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory. no new claims to deallocate, "
                "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
            )
        ),
        [],
        "cannot start  Unschedulable: 0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory: lower",
        "lower cluster.steps.training.cpu (now 2), or add a larger node; lower cluster.steps.training.memory (now 8Gi)",
    ),
    "no room now": (
        a_pod(
            status=unschedulable(
                "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
                "1 No preemption victims found for incoming pod."
            )
        ),
        [],
        "waits for room  Unschedulable: 0/1 nodes are available: 1 Insufficient cpu; "
        "it starts when other pods have ended",
        "",
    ),
    "an autoscaler": (
        a_pod(status=unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")),
        [lambda made: event(made, "TriggeredScaleUp", "pod triggered scale-up", "Normal")],
        "waits for room  Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu; "
        "the autoscaler is adding a node",
        "",
    ),
    "no accelerator": (
        a_pod(status=unschedulable("0/1 nodes are available: 1 Insufficient amd.com/gpu.")),
        [],
        "cannot start  Unschedulable: 0/1 nodes are available: 1 Insufficient amd.com/gpu",
        "correct its accelerator_type",
    ),
    "a taint": (
        a_pod(status=unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}.")),
        [],
        "had untolerated taint {gpu: yes}",
        "name the taint in cluster.steps.training.tolerations",
    ),
    "a node short of disk": (
        a_pod(
            status=unschedulable(
                "0/2 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
                "1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }."
            )
        ),
        [],
        "cannot start  Unschedulable: 0/2 nodes",
        "/disk-pressure: }: free disk space on the nodes, or wait",
    ),
    "a node short of memory": (
        a_pod(
            status=unschedulable("0/1 nodes: 1 node(s) had untolerated taint {node.kubernetes.io/memory-pressure: }.")
        ),
        [],
        "cannot start  Unschedulable: 0/1 nodes",
        "/memory-pressure: }: free memory on the nodes, or wait",
    ),
    "a node that is not ready": (
        a_pod(status=unschedulable("0/1 nodes: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.")),
        [],
        "cannot start  Unschedulable: 0/1 nodes",
        "/not-ready: }: wait until the nodes are ready again",
    ),
    "a taint beside a node without room": (
        a_pod(
            status=unschedulable(
                "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {control-plane: }."
            )
        ),
        [],
        "cannot start  Unschedulable: 0/2 nodes",
        "{control-plane: }: lower cluster.steps.training.cpu (now 2), or add a larger node",
    ),
    "a selector": (
        a_pod(status=unschedulable("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")),
        [],
        "didn't match Pod's node affinity/selector",
        "set cluster.steps.training.node_selector to labels that a node has",
    ),
    "no such claim": (
        a_pod(
            status=unschedulable('0/1 nodes are available: persistentvolumeclaim "models" not found. not found'),
            spec=SHARED,
        ),
        [],
        'cannot start  Unschedulable: 0/1 nodes are available: persistentvolumeclaim "models" not found: make it',
        "cluster.models.claim",
    ),
    "a volume in use": (
        a_pod(state=waiting("ContainerCreating"), spec=SHARED),
        [
            lambda made: event(made, "Scheduled", "assigned", "Normal"),
            lambda made: event(
                made, "FailedAttachVolume", 'Multi-Attach error for volume "nashflow-models" it is in use', second=9
            ),
        ],
        "cannot start  FailedAttachVolume: Multi-Attach error",
        "give the claim of cluster.models.claim the access mode ReadWriteMany",
    ),
    "no such Secret": (
        a_pod(state=waiting("CreateContainerConfigError", 'secret "nashflow-s3" not found')),
        [],
        'cannot start  CreateContainerConfigError: secret "nashflow-s3" not found: make it in the namespace kubeflow',
        "the step starts by itself, or correct cluster.secrets",
    ),
    "no such ConfigMap": (
        a_pod(state=waiting("CreateContainerConfigError", 'configmap "nashflow-env" not found')),
        [],
        'configmap "nashflow-env" not found: make it in the namespace kubeflow',
        "correct cluster.config_maps",
    ),
    "no such key": (
        a_pod(state=waiting("CreateContainerConfigError", "couldn't find key X in Secret kubeflow/nashflow-s3")),
        [],
        "couldn't find key X in Secret kubeflow/nashflow-s3: put the key into it in the namespace kubeflow",
        "cluster.secrets",
    ),
    "no such key of a ConfigMap": (
        a_pod(state=waiting("CreateContainerConfigError", "couldn't find key X in ConfigMap kubeflow/nashflow-env")),
        [],
        "couldn't find key X in ConfigMap kubeflow/nashflow-env: put the key into it",
        "cluster.config_maps",
    ),
    "no such command": (
        a_pod(state=waiting("RunContainerError", 'exec: "python3": executable file not found in $PATH')),
        [],
        'cannot start  RunContainerError: exec: "python3": executable file not found in $PATH',
        "set cluster.images.steps to an image of NashFlow",
    ),
    "something new": (
        a_pod(state=waiting("SomethingNew", "of a later Kubernetes")),
        [],
        "cannot start  SomethingNew: of a later Kubernetes",
        "",
    ),
}


@pytest.mark.parametrize("name", STUCK)
def test_a_pod_that_cannot_start_says_why_once_and_what_to_do(
    follow: Callable[..., Done], cluster: PodServer, name: str
) -> None:
    make, events, said, advice = STUCK[name]
    (line,) = told(follow(once(cluster, make, *events)))
    assert said in line
    assert line.endswith(said) if not advice else advice in line
    assert ("tolerations" in line) == ("tolerations" in advice)


def test_what_is_a_matter_of_the_recipe_is_no_matter_of_a_retry(call: Call, kfp: KfpServer, cluster: PodServer) -> None:
    """It is said once what follows, and when the run has been cancelled, too."""
    run = begun(kfp, "/tmp/{job}")
    cluster.add(pod(run.run_id, NODE, state=waiting("ErrImagePull", PULL)))
    cluster.add(pod(run.run_id, "evaluation-000", state=waiting("ErrImagePull", PULL)))
    kfp.script = [Snapshot("RUNNING", TASKS)]
    kfp.on_poll = lambda poll: kfp._terminate(run.run_id, b"") if poll == 6 else None
    done = call("wait", run.run_id, "--host", kfp.url)
    again = f"submit the recipe again with --run-root /tmp/{run.run_id}, where finished work is found again"
    (said,) = [line for line in done.out.splitlines() if "keeps its settings" in line]
    assert said.endswith(f"stop it with `nashflow cancel {run.run_id} --host {kfp.url}`, and {again}")
    assert done.err.splitlines()[1] == f"nashflow: {again}: a retry would ask for the same"


NOT_THE_RECIPES: dict[str, dict[str, Any]] = {
    "no room now": {
        "status": unschedulable(
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 1 No preemption victims found."
        )
    },
    "a node that is not well": {
        "status": unschedulable("0/1 nodes: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }.")
    },
    "over": {"state": waiting("ErrImagePull", PULL)},
}


@pytest.mark.parametrize("name", NOT_THE_RECIPES)
def test_a_run_that_only_waits_or_has_got_over_it_is_not_to_be_cancelled(
    call: Call, kfp: KfpServer, cluster: PodServer, name: str
) -> None:
    """Whoever cancels it all the same goes on with a retry."""
    run, over = begun(kfp, "/tmp/{job}"), name == "over"
    cluster.add(pod(run.run_id, NODE, **NOT_THE_RECIPES[name]))
    kfp.script = [Snapshot("RUNNING", TASKS)]

    def change(poll: int) -> None:
        if over and poll == 6:
            cluster.pods = [pod(run.run_id, NODE, "Running", state={"running": {}})]
        if poll == 9:
            kfp._terminate(run.run_id, b"")

    kfp.on_poll = change
    done = call("wait", run.run_id, "--host", kfp.url)
    assert ("keeps its settings" in done.out) == over
    assert done.err.splitlines()[1].startswith("nashflow: resume it with `nashflow retry ")


def test_a_trouble_that_is_over_by_the_next_look_is_not_told(follow: Callable[..., Done], cluster: PodServer) -> None:
    """Between two pods of one node the second one waits for a moment."""

    def change(run_id: str, poll: int) -> None:
        cluster.pods = [pod(run_id, NODE, "Running", state={"running": {}})]
        if poll == 1:
            cluster.pods = [pod(run_id, NODE, status=unschedulable("0/1 nodes are available: 1 Insufficient cpu."))]

    assert told(follow(change)) == []


def test_it_is_said_when_a_pod_has_started_after_all_and_when_it_is_held_up_again(
    follow: Callable[..., Done], cluster: PodServer
) -> None:
    """A pod goes back and forth between two reasons for one trouble, which are told as one."""

    def change(run_id: str, poll: int) -> None:
        reason = "ErrImagePull" if poll % 2 else "ImagePullBackOff"
        cluster.pods = [pod(run_id, NODE, state=waiting(reason, PULL if poll % 2 else ""))]
        if poll in (5, 6):
            cluster.pods = [pod(run_id, NODE, "Running", state={"running": {}})]

    first, over, again = told(follow(change, polls=10))
    assert f"cannot start  ErrImagePull: {PULL}" in first
    assert over.endswith("started  it is no longer held up")
    assert "cannot start" in again


def test_the_pods_of_all_shards_are_one_line(follow: Callable[..., Done], cluster: PodServer) -> None:
    def change(run_id: str, poll: int) -> None:
        message = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1: 1 No preemption victims found for it."
        cluster.pods = [pod(run_id, NODE, status=unschedulable(message), attempt=shard) for shard in range(3 + poll)]

    (line,) = told(follow(change))
    assert "waits for room  3 pods: Unschedulable" in line or "waits for room  4 pods: Unschedulable" in line


ATTEMPT = "training: attempt 1 of 4 ended with exit code"


def test_attempts_that_fail_inside_a_pod_are_told_while_it_runs(
    follow: Callable[..., Done], cluster: PodServer
) -> None:
    """Each once, of whichever shard it is, with what its step said."""
    first_time, second_time = (f"attempt {n} of 4 ended with exit code 75; again in {30 * n} s" for n in (1, 2))
    words = ["begun", "training: the store does not answer", f"training: {first_time}"]

    def change(run_id: str, poll: int) -> None:
        if poll == 0:
            for shard in range(3):
                cluster.add(pod(run_id, NODE, "Running", attempt=shard, state={"running": {}}), *words)
        if poll == 3:
            cluster.logs["training-001-main-0-1"].write(f"training: {second_time}")

    first, second = told(follow(change))
    assert first.endswith(f"tried again  the store does not answer; {first_time}")
    assert second.endswith(f"tried again  {second_time}")


def test_the_line_that_a_pod_writes_of_an_attempt_is_understood(
    follow: Callable[..., Done], cluster: PodServer
) -> None:
    """It is written in the pod, by other code than reads it."""
    failing = [sys.executable, "-c", "import sys; print('training: no', file=sys.stderr); sys.exit(75)"]
    code = f"from nashflow.components.runtime.supervision import supervise; supervise({failing!r}, 1, 'training', 0.01)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.splitlines()

    def change(run_id: str, poll: int) -> None:
        if poll == 0:
            cluster.add(pod(run_id, NODE, "Running", state={"running": {}}), *said)

    (line,) = told(follow(change))
    assert line.endswith("tried again  no; attempt 1 of 2 ended with exit code 75; again in 0.01 s")


def test_a_step_that_runs_out_of_memory_inside_its_pod_says_what_to_set(
    follow: Callable[..., Done], cluster: PodServer
) -> None:
    """Linux kills the step alone: for Kubernetes its pod runs on."""

    def change(run_id: str, poll: int) -> None:
        if poll == 0:
            cluster.add(pod(run_id, NODE, "Running", state={"running": {}}), f"{ATTEMPT} 137; again in 30 s")

    (line,) = told(follow(change))
    assert line.endswith(
        "again in 30 s; its process was killed, most likely for want of memory: raise cluster.steps.training.memory "
        "(now 8Gi)"
    )


def test_without_the_right_to_read_logs_what_holds_up_pods_is_told_all_the_same(
    follow: Callable[..., Done], cluster: PodServer
) -> None:
    cluster.forbidden = "/log"

    def change(run_id: str, poll: int) -> None:
        running = pod(run_id, NODE, "Running", name="runs", state={"running": {}})
        cluster.pods = [running, pod(run_id, NODE, state=waiting("ErrImagePull", PULL))]

    (line,) = told(follow(change))
    assert "ErrImagePull" in line


def test_a_mount_that_failed_before_the_image_is_pulled_is_over(
    follow: Callable[..., Done], cluster: PodServer
) -> None:
    make = a_pod(state=waiting("ContainerCreating"))
    events = [
        lambda made: event(made, "FailedMount", 'MountVolume.SetUp failed for volume "x"', second=1),
        lambda made: event(made, "Pulling", "Pulling image", "Normal", second=2),
    ]
    assert told(follow(once(cluster, make, *events))) == []


KUBEFLOWS = {
    "a driver's image": (
        "its driver: ErrImagePull: no such image",
        "it is a part of Kubeflow itself: ask its administrator",
    ),
    "the launcher's image": (
        "ImagePullBackOff: no such image",
        "it is a part of Kubeflow itself: ask its administrator",
    ),
    "a driver without room": ("its driver: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu", "free room on"),
    "Kubeflow's Secret": (
        "FailedMount: MountVolume.SetUp failed",
        "it is a part of Kubeflow itself: ask its administrator",
    ),
}


@pytest.mark.parametrize("name", KUBEFLOWS)
def test_no_setting_of_the_recipe_is_named_for_what_is_kubeflows(
    follow: Callable[..., Done], cluster: PodServer, name: str
) -> None:
    def make(run_id: str) -> Json:
        if name == "a driver's image":
            return pod(run_id, f"{NODE}-driver", state=waiting("ErrImagePull", "no such image"))
        if name == "the launcher's image":
            started = {"name": "kfp-launcher", "state": waiting("ImagePullBackOff", "no such image")}
            more = {"initContainerStatuses": [started]}
            return pod(run_id, NODE, state=waiting("PodInitializing"), status=more)
        if name == "a driver without room":
            return pod(run_id, f"{NODE}-driver", status=unschedulable("0/1 nodes are available: 1 Insufficient cpu."))
        return pod(run_id, NODE, state=waiting("ContainerCreating"))

    said = 'MountVolume.SetUp failed for volume "minio" : secret "mlpipeline-minio-artifact" not found'
    events = [lambda made: event(made, "FailedMount", said)] if name == "Kubeflow's Secret" else []
    (line,) = told(follow(once(cluster, make, *events)))
    reason, advice = KUBEFLOWS[name]
    assert reason in line
    assert advice in line
    assert "cluster." not in line


QUOTA = 'pods "quickstart-x-1" is forbidden: exceeded quota: compute'


def test_a_quota_is_told_while_another_pod_of_the_run_is_there_and_the_workflow_is_not_read_at_every_look(
    follow: Callable[..., Done], cluster: PodServer
) -> None:
    def change(run_id: str, poll: int) -> None:
        if poll == 0:
            cluster.pods = [pod(run_id, "evaluation-001", "Running", state={"running": {}})]
            cluster.workflows = [
                workflow(run_id, training_001_main=("Pending", QUOTA), evaluation_001=("Pending", "not so any more"))
            ]
        if poll == 9:
            cluster.pods.append(pod(run_id, NODE, "Running", state={"running": {}}))

    done = follow(change, polls=12)
    line, over = told(done)
    assert f"cannot start  {QUOTA}: free some of the quota" in line
    assert over.endswith("started  it is no longer held up")
    assert "not so any more" not in done.out
    assert len([path for path in cluster.seen if path.endswith("/workflows")]) <= 5


def test_the_workflow_is_not_read_while_each_task_at_work_has_a_pod(
    follow: Callable[..., Done], cluster: PodServer
) -> None:
    make = a_pod(phase="Running", state={"running": {}})
    assert told(follow(once(cluster, make), polls=9)) == []
    assert not [path for path in cluster.seen if path.endswith("/workflows")]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            'pods "quickstart-x-1" is forbidden: exceeded quota: compute, requested: memory=8Gi, used: memory=6Gi, '
            "limited: memory=8Gi",
            "free some of the quota of the namespace kubeflow, or ask for more",
        ),
        (
            'pods "quickstart-x-1" is forbidden: failed quota: compute: must specify limits.cpu for: wait',
            "give the namespace kubeflow a LimitRange with defaults",
        ),
        (
            'pods "quickstart-x-1" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities',
            "the namespace kubeflow forbids such pods: ask its administrator",
        ),
    ],
)
def test_what_keeps_argo_from_making_a_pod_is_told_from_the_workflow(
    follow: Callable[..., Done], cluster: PodServer, said: str, advice: str, compressed: bool
) -> None:
    def change(run_id: str, poll: int) -> None:
        if poll == 0:
            made = workflow(run_id, preparation=("Succeeded", ""), training_001_main=("Pending", said))
            if compressed:
                nodes = json.dumps(made["status"].pop("nodes")).encode()
                made["status"]["compressedNodes"] = base64.b64encode(gzip.compress(nodes)).decode()
            cluster.workflows = [made]

    (line,) = told(follow(change))
    assert f"cannot start  {said}: {advice}" in line


def test_a_pod_that_is_evicted_and_made_again_is_told(follow: Callable[..., Done], cluster: PodServer) -> None:
    def change(run_id: str, poll: int) -> None:
        status = {"reason": "Evicted", "message": 'Usage of EmptyDir volume "shm" exceeds the limit "16Gi". '}
        lost = pod(run_id, NODE, "Failed", status=status)
        again = pod(run_id, NODE, "Running", attempt=1, created="2026-08-21T03:01:00Z", state={"running": {}})
        cluster.pods = [lost] if poll < 2 else [lost, again]

    (line,) = told(follow(change))
    assert 'tried again  Evicted: Usage of EmptyDir volume "shm" exceeds the limit "16Gi".' in line
    assert line.endswith("raise cluster.steps.training.shared_memory")


def test_who_may_not_read_pods_is_told_so_once_and_the_run_is_followed(
    follow: Callable[..., Done], cluster: PodServer
) -> None:
    cluster.forbidden = "/pods"
    done = follow(lambda run_id, poll: None)
    said = [line for line in done.out.splitlines() if "pods cannot be seen" in line]
    assert done.code == 0
    assert len(said) == 1
    assert "the reasons of failures are not shown: " in said[0]
    assert 'User "me" cannot do that (403)' in said[0]
    assert len([path for path in cluster.seen if path.endswith("/pods")]) == 1


def test_the_pods_of_other_runs_and_namespaces_are_not_looked_at(
    follow: Callable[..., Done], cluster: PodServer
) -> None:
    def change(run_id: str, poll: int) -> None:
        if poll == 0:
            stuck = pod(run_id, NODE, state=waiting("ErrImagePull"))
            elsewhere, anothers = copy.deepcopy(stuck), copy.deepcopy(stuck)
            elsewhere["metadata"]["namespace"] = "team"
            anothers["metadata"]["labels"]["pipeline/runid"] = "another"
            cluster.pods = [elsewhere, anothers]

    assert told(follow(change)) == []


@pytest.mark.parametrize("known", ["nothing", "a workflow", "a pod that has ended"])
def test_a_cluster_that_knows_no_pod_of_a_run_at_work_is_named_once(
    follow: Callable[..., Done], cluster: PodServer, known: str
) -> None:
    def change(run_id: str, poll: int) -> None:
        if known == "a workflow":
            cluster.workflows = [workflow(run_id, preparation=("Succeeded", ""))]
        if known == "a pod that has ended":
            cluster.pods = [pod(run_id, "preparation", "Succeeded")]

    said = [line for line in follow(change, polls=9).out.splitlines() if "no pods of this run" in line]
    line = (
        "no pods of this run in the namespace kubeflow of the kube context here: "
        "if it runs elsewhere, name its --kube-context or --namespace"
    )
    assert said == ([line] if known == "nothing" else [])


# --- as a real Kubernetes said it ------------------------------------------------------------------------------------


ADVISED = {
    "no-node-large-enough": ("1 Insufficient cpu", "lower cluster.steps.training.cpu"),
    "no-such-claim": ('persistentvolumeclaim "missing" not found', "cluster.models.claim"),
    "no-such-command": ("executable file not found in $PATH", "cluster.images."),
    "no-such-gpu": ("1 Insufficient nvidia.com/gpu", "lower cluster.steps.training.accelerators"),
    "no-such-image": ("no such host", "cluster.images."),
    "no-such-key": ("couldn't find key missing in ConfigMap", "cluster.config_maps"),
    "no-such-secret": ('secret "missing" not found', "cluster.secrets"),
}


@needs_recordings
@pytest.mark.parametrize("name", ADVISED)
def test_a_recorded_pod_that_cannot_start_is_told(follow: Callable[..., Done], cluster: PodServer, name: str) -> None:
    pods, events = (
        json.loads(recording(f"{file}.json").read_text())["items"] for file in ("stuck-pods", "stuck-pods-events")
    )

    def change(run_id: str, poll: int) -> None:
        if poll == 0:
            (stuck,) = [pod for pod in pods if pod["metadata"]["name"] == name]
            stuck["metadata"] |= {
                "namespace": "kubeflow",
                "labels": {"pipeline/runid": run_id},
                "annotations": {"workflows.argoproj.io/node-name": f"x.root.run.{NODE}.executor"},
            }
            cluster.pods, cluster.events = [stuck], events

    (line,) = told(follow(change))
    said, advice = ADVISED[name]
    assert "cannot start" in line
    assert said in line
    assert advice in line
