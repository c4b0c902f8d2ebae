"""Runs of the quickstart on a Kubeflow, through the commands that a user has (make cluster-test)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..fixtures import people
from ..fixtures.cli import SMALL, call, wait_for, weights
from ..fixtures.runs import SandboxRun
from ..fixtures.seaweedfs import SeaweedFS
from .pods.cluster import Trouble
from .pods.sandbox import missing
from .site import Site, site

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
TINY = (*SMALL, "run.iterations=1", "training.epochs=2")
TEXT = "{{workflow.name}} {{inputs.parameters.x}} {{$}} $(AWS_SECRET_ACCESS_KEY) $$(HOME) [bold]"
"""What Argo, Kubernetes and others would change on its way."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, seaweedfs_server: SeaweedFS, empty_mlflow: Path) -> Iterator[Site]:
    if why := missing():
        pytest.skip(f"pods need mount namespaces of their own: {why}")
    with site(tmp_path_factory.mktemp("site"), seaweedfs_server, empty_mlflow) as made:
        yield made


@pytest.fixture(scope="module")
def digests(place: Site) -> list[str]:
    """Of the policies that the tiny recipe makes on this machine."""
    root = place.folder / "here"
    call("run", str(place.recipe("tiny")), "--run-root", str(root), sets=TINY)
    return weights(root)


def test_the_quickstart(place: Site) -> None:
    recipe = place.recipe("quickstart", prompts={"field": TEXT})
    submitted = place.nashflow("submit", recipe, "--wait")
    print(submitted.stdout)
    run = place.run(submitted.stdout)
    assert run.state == "SUCCEEDED"
    assert place.read(run, "report/outcome.json")["outcome"] == "succeeded"
    assert len(place.digests(run)) == 4
    parent, below = _tracked(place, run)
    assert (parent, set(below)) == ("FINISHED", {"FINISHED"})
    listed = place.nashflow("runs").stdout
    assert run.display_name in listed
    assert "succeeded" in listed
    logs = place.nashflow("logs", run.run_id, "--step", "training", "--kube-context", "here").stdout
    assert logs.count('"step": "training"') == 3
    (resolved,) = (json.loads(content) for name, content in place.files(run) if name.startswith("recipes/"))
    assert resolved["prompts"]["field"] == TEXT


def test_a_schedule_fires_three_times(place: Site) -> None:
    place.nashflow("schedule", "apply", place.recipe("nightly"), "--cron", "0 0 3 * * *", sets=TINY)
    for number in range(1, 4):
        run = place.kubeflow.ended(place.kubeflow.server.fire("nightly"))
        assert run.state == "SUCCEEDED", place.told()
        assert place.read(run, "report/outcome.json")["outcome"] == "succeeded", number
        assert len(place.digests(run)) == 2
    assert place.nashflow("runs").stdout.count("nightly") >= 3


def test_a_run_is_cancelled_and_retried(place: Site, digests: list[str]) -> None:
    run = place.run(place.nashflow("submit", place.recipe("tiny"), "--name", "stopped", sets=TINY).stdout)
    place.step(run, "training-001-main")
    stopped = place.nashflow("cancel", run.run_id, tracked=True)
    assert stopped.stdout.splitlines()[-1] == f"{run.display_name}: cancelled"
    assert place.read(run, "report/outcome.json")["outcome"] == "cancelled"
    parent, below = _tracked(place, run)
    assert (parent, "RUNNING" in below) == ("KILLED", False)
    waited = place.nashflow("wait", run.run_id, check=False)
    assert waited.returncode == 1
    assert "cancelled" in place.nashflow("runs").stdout
    retried = place.nashflow("retry", run.run_id, "--wait")
    again = place.run(retried.stdout.replace(run.run_id, ""))
    assert again.state == "SUCCEEDED"
    assert place.digests(again) == digests


def test_training_by_a_trainjob(place: Site, digests: list[str]) -> None:
    """The pods of a TrainJob make the same policies; its step's pod is lost once, and the next one goes on with it."""
    trainer, sets = place.kubeflow.server.trainer, (*TINY, "training.launcher={kind: trainjob, nodes: 1, processes: 1}")
    run = place.run(place.nashflow("submit", place.recipe("tiny"), "--name", "by-a-job", sets=sets).stdout)
    name = place.step(run, "training-001-main")
    wait_for(lambda: trainer.jobs)
    place.kubeflow.kubelet.delete(name)
    assert place.nashflow("wait", run.run_id).returncode == 0
    assert place.digests(run) == digests
    assert (len(trainer.bodies), trainer.jobs) == (1, {})
    (body,) = trainer.bodies
    assert body["metadata"]["labels"] == {"pipeline/runid": run.run_id, "nashflow/step": "training"}
    assert body["metadata"]["ownerReferences"][0]["kind"] == "Workflow"
    assert {each["name"] for each in body["spec"]["trainer"]["env"]} >= {"AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI"}
    assert "found at work, and followed" in place.nashflow("logs", run.run_id, "--kube-context", "here").stdout


def test_a_trainjob_ends_with_its_run(place: Site) -> None:
    trainer = place.kubeflow.server.trainer
    sets = (*TINY, "training.epochs=200", "training.launcher={kind: trainjob, nodes: 1, processes: 1}")
    run = place.run(place.nashflow("submit", place.recipe("tiny"), "--name", "stopped-job", sets=sets).stdout)
    wait_for(lambda: trainer.jobs)
    nodes = trainer.nodes()
    place.nashflow("cancel", run.run_id, tracked=True)
    wait_for(lambda: not trainer.jobs)
    assert [node.code for node in nodes] == [143]


def test_a_pod_is_lost(place: Site, digests: list[str]) -> None:
    run = place.run(place.nashflow("submit", place.recipe("tiny"), "--name", "lost", sets=TINY).stdout)
    place.kubeflow.kubelet.delete(place.step(run, "training-001-main"))
    place.nashflow("wait", run.run_id)
    assert place.digests(run) == digests


def test_a_step_runs_out_of_memory(place: Site, digests: list[str]) -> None:
    """Its pod goes on: Argo would not have made another attempt."""
    place.kubeflow.cluster.troubles.append(Trouble("training-001", "oom", memory="250Mi"))
    done = place.nashflow("submit", place.recipe("tiny"), "--name", "tight", "--wait", sets=TINY)
    run = place.run(done.stdout)
    assert place.digests(run) == digests
    logs = place.nashflow("logs", run.run_id, "--step", "training", "--kube-context", "here").stdout
    assert "attempt 1 of 4 ended with exit code 137" in logs


def test_people_are_waited_for(place: Site, prepared_root: SandboxRun) -> None:
    """A run ends with what it has to ask people, and the next one of its run root goes on from their answers."""
    prompts, pages = place.folder / "prompts.jsonl", place.folder / "pages"
    prompts.write_text("".join(f"{json.dumps({'prompt': f'x{context}'})}\n" for context in range(8)))
    recipe = place.recipe(
        "people",
        method={"name": "inpo", "eta": 0.5, "tau": 0.1, "comparisons": "iid", "labels": "binary"},
        policy={"kind": "folder", "model": str(prepared_root.folder("000/main"))},
        prompts={"path": str(prompts), "per_iteration": 6, "held_out": 2, "max_tokens": 16},
        oracle={"kind": "human"},
        evaluation={"benchmarks": ["head_to_head"]},
    )
    sets = ("run.iterations=1",)
    done = place.nashflow("submit", recipe, "--wait", sets=sets, check=False)
    root = f"s3://{place.bucket}/runs/{place.run(done.stdout).display_name}"
    for task in ("evaluation-000", "judging-001-main", "evaluation-001"):
        assert done.returncode == 3, done.stdout + done.stderr + place.told()
        assert "is pending: comparisons that lack people's verdicts: " in done.stderr
        assert task in done.stderr
        run = list(place.kubeflow.server.runs.values())[-1]
        told = place.read(run, "report/outcome.json")
        assert (told["outcome"], told["job"]) == ("pending", run.run_id)
        (line,) = (line for line in place.nashflow("runs").stdout.splitlines() if run.display_name in line.split())
        assert "pending: comparisons that lack" in line
        place.nashflow("human", "export", root, "-o", pages)
        answers = people.answered(people.questions(pages / "comparisons.jsonl"), pages / "verdicts.jsonl")
        assert "none is lacking" in place.nashflow("human", "import", root, answers).stdout
        if task == "judging-001-main":
            done = place.nashflow("retry", run.run_id, "--wait", check=False)
        else:
            done = place.nashflow("submit", recipe, "--run-root", root, "--wait", sets=sets, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + place.told()
    run = list(place.kubeflow.server.runs.values())[-1]
    assert place.read(run, "report/outcome.json")["outcome"] == "succeeded"
    assert len(place.digests(run)) == 2


def _tracked(place: Site, run: Any) -> tuple[str, list[str]]:
    """The state of a run's own run in MLflow, and the states of those below it."""
    from mlflow import MlflowClient

    client = MlflowClient(place.tracking)
    tracking = place.read(run, "run.json")["tracking"]
    parent = tracking["parent"]
    below = client.search_runs([tracking["nested"]], f"tags.`nashflow.parent` = '{parent}'", max_results=1000)
    return client.get_run(parent).info.status, [known.info.status for known in below]
