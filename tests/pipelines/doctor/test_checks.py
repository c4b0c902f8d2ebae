"""`nashflow doctor` against a cluster: what it finds where everything is there, and where one thing is not."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes.config import kube_config

from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.doctor.case import Case
from tests.pipelines.cluster.server import Fault, KfpServer
from tests.pipelines.doctor.cases import IN_CLUSTER, RUNNER, look, paper, the_failure
from tests.pipelines.kubernetes_server import TRAINER, KubernetesServer, claim, node


def test_everything_is_found_where_everything_is_there(case: Callable[..., Case], cluster: KubernetesServer) -> None:
    found = look(case(), "Kubeflow", "Kubernetes", *IN_CLUSTER)
    assert [each for each in found if each.state not in ("ok", "not needed")] == []
    assert {each.check for each in found if each.state == "ok"} == {
        *("Kubeflow", "Kubernetes", "submitting", "service account", "retries", "secrets", "config maps", "images"),
        *("nodes", "model cache"),
    }
    assert [each.check for each in found if each.state == "not needed"] == ["quotas", "Trainer"]
    training = next(each for each in found if each.check == "nodes" and each.tried.startswith("training"))
    assert training.found == "2 of 3 nodes fit: H100 (2)"
    assert not [request for request in cluster.seen if not re.match(r"GET|POST .*reviews$", request)]


def lacks(kind: str, name: str) -> Callable[[KubernetesServer], Any]:
    return lambda cluster: cluster.objects[kind].pop(name)


def has(kind: str, name: str, **fields: Any) -> Callable[[KubernetesServer], Any]:
    return lambda cluster: cluster.add(kind, name, **fields)


def may_not(user: str, *rights: str) -> Callable[[KubernetesServer], Any]:
    return lambda cluster: cluster.denied.update({user: set(rights)})


def nodes(*there: Any) -> Callable[[KubernetesServer], Any]:
    return lambda cluster: setattr(cluster, "nodes", list(there))


JOB = ("cluster.profile=many-nodes", "training.launcher=trainjob")
ONE_GROUP = (
    "cluster.profile=cpu",
    *(f"cluster.steps.{step}.cpu=2" for step in ("preparation", "reporting", "closing")),
)
SAME = (*ONE_GROUP, *(f"cluster.steps.{step}.memory=8Gi" for step in ("preparation", "reporting", "closing")))
FAILURES: dict[str, tuple[str, tuple[str, ...], Any, str, str]] = {
    # Check, overrides of the recipe, what is wrong with the cluster, what is found, what is advised.
    "secret": (
        *("secrets", (), lacks("secrets", "nashflow-s3"), "no such object"),
        "kubectl create secret generic nashflow-s3 -n team --from-literal=AWS_ACCESS_KEY_ID=…",
    ),
    "secret's key": (
        *("secrets", (), has("secrets", "nashflow-s3", data={"AWS_ACCESS_KEY_ID": "a"})),
        *("lacks AWS_SECRET_ACCESS_KEY", "correct cluster.secrets; it has AWS_ACCESS_KEY_ID"),
    ),
    "secret without data": ("secrets", (), has("secrets", "nashflow-s3"), "lacks AWS_ACCESS", "it has no keys"),
    "config map": (
        *("config maps", (), lacks("configmaps", "nashflow-env"), "no such object"),
        "kubectl create configmap nashflow-env -n team --from-literal=AWS_DEFAULT_REGION=…",
    ),
    "account": (
        *("service account", (), lacks("serviceaccounts", "nashflow-runner"), "no such account"),
        "set cluster.service_account",
    ),
    "runner's rights": (
        *("service account", (), may_not(RUNNER, "create workflowtaskresults.argoproj.io", "get pods")),
        *("may not create workflowtaskresults.argoproj.io, get pods", "runner role to nashflow-runner"),
    ),
    "runner's rights to train": (
        *("service account", JOB, may_not(RUNNER, "create trainjobs.trainer.kubeflow.org", "get pods/log")),
        *("may not create trainjobs.trainer.kubeflow.org, get pods/log", "trainer.enabled=true"),
    ),
    "own rights": (
        *("submitting", (), may_not("", "create runs.pipelines.kubeflow.org", "delete jobs.pipelines.kubeflow.org")),
        *("may not create runs.pipelines.kubeflow.org, delete jobs.pipelines.kubeflow.org", "kubeflow-edit"),
    ),
    "claim": (
        *("model cache", (), lacks("persistentvolumeclaims", "nashflow-models"), "no such claim"),
        "models.create=true",
    ),
    "claim that waits": (
        *("model cache", (), has("persistentvolumeclaims", "nashflow-models", **claim("Pending"))),
        *("it is Pending", "waits for its first consumer"),
    ),
    "claim for one node": (
        *("model cache", ("cluster.profile=many-nodes",)),
        has("persistentvolumeclaims", "nashflow-models", **claim(modes=("ReadWriteOnce",))),
        *("ReadWriteOnce: one node", "set cluster.profile to one-node"),
    ),
    "claim for one pod": (
        *("model cache", (), has("persistentvolumeclaims", "nashflow-models", **claim(modes=("ReadWriteOncePod",)))),
        *("one pod at a time", "ReadWriteMany"),
    ),
    "model elsewhere": (
        *("model cache", ("prompts.path=/data/prompts.jsonl",), lambda cluster: None),
        *("not below /models", "name it below /models"),
    ),
    "Trainer": (
        *("Trainer", JOB, lambda cluster: cluster.served.clear()),
        *("not served: trainjobs, trainingruntimes, clustertrainingruntimes", "install Kubeflow Trainer 2.2 or newer"),
    ),
    "Trainer in part": (
        *("Trainer", JOB),
        lambda cluster: cluster.served.update({"trainer.kubeflow.org/v1alpha1": TRAINER[:1]}),
        *("not served: trainingruntimes, clustertrainingruntimes", "Trainer"),
    ),
    "an older Trainer": (
        *("Trainer", JOB, lambda cluster: setattr(cluster, "trainjob_fields", ("podTemplateOverrides",))),
        *("Kubeflow Trainer is older than 2.2", "upgrade Kubeflow Trainer to 2.2"),
    ),
    "no runtime": (
        *("Trainer", JOB, lambda cluster: cluster.runtimes["clustertrainingruntimes"].remove("torch-distributed")),
        *("neither team nor the cluster has it; they have jax-distributed", "set training.launcher.runtime to one"),
    ),
    "no nodes": ("nodes", SAME, nodes(), "there are no nodes", "autoscaler"),
    "no accelerators": (
        *("nodes", (*SAME, "cluster.steps.training.accelerators=1"), nodes(node("a", 0))),
        *("none of 1 nodes fits: 1 without nvidia.com/gpu", "device plugin"),
    ),
    "other accelerators": (
        *("nodes", (*SAME, "cluster.steps.training.accelerators=1"), nodes(node("a", 4, "amd.com/gpu"))),
        *("1 without nvidia.com/gpu", "set cluster.steps.training.accelerator_type; they have amd.com/gpu"),
    ),
    "too few accelerators": (
        *("nodes", (*SAME, "cluster.steps.training.accelerators=8"), nodes(node("a", 4), node("b", 4), node("c", 0))),
        *("2 with only 4 nvidia.com/gpu, 1 without nvidia.com/gpu", "lower cluster.steps.training.accelerators"),
    ),
    "too little memory": (
        *("nodes", (*SAME, "cluster.steps.training.memory=2Ti"), nodes(node("a"))),
        *("with only 1024Gi memory", "lower cluster.steps.training.memory"),
    ),
    "too few CPUs": (
        *("nodes", (*SAME, "cluster.steps.rollout.cpu=95.5"), nodes(node("a", cpu="95400m"))),
        *("with only 95.4 cpu", "lower cluster.steps.rollout.cpu"),
    ),
    "a taint": (
        *("nodes", SAME, nodes(node("a", taints=["team=x:NoExecute"]))),
        *("with the taint team=x:NoExecute", "add team=x:NoExecute to cluster.steps."),
    ),
    "a label": (
        *("nodes", (*SAME, "cluster.steps.training.node_selector={zone: a}"), nodes(node("a", labels={"zone": "b"}))),
        *("without the label zone=a", "cluster.steps.training.node_selector"),
    ),
    "a cordoned node": ("nodes", SAME, nodes(node("a", cordoned=True)), "1 cordoned", "uncordon"),
    "too few nodes for a TrainJob": (
        *("nodes", (*JOB[:1], "training.launcher={kind: trainjob, nodes: 3}"), lambda cluster: None),
        *("2 of 3 nodes fit: H100 (2); they take 2 of the 3 pods", "set training.launcher.nodes to at most 2"),
    ),
    "a node that is away": ("nodes", SAME, nodes(node("a", ready=False)), "1 not ready", "describe node"),
}


@pytest.mark.parametrize("what", FAILURES)
def test_what_is_missing_is_found_with_what_to_do(
    case: Callable[..., Case], cluster: KubernetesServer, what: str
) -> None:
    check, overrides, change, found, advice = FAILURES[what]
    if check != "nodes":
        assert not [each for each in look(case(), check) if each.state == "failed"]
    change(cluster)
    failure = the_failure(case(*overrides), check)
    assert found in failure.found
    assert advice in failure.advice


FORBIDDEN = {
    "secrets": (".*/secrets/.*", "secret nashflow-s3"),
    "config maps": (".*/configmaps/.*", "config map nashflow-env"),
    "quotas": (".*/resourcequotas", "resource quotas"),
    "nodes": (".*/nodes", "nodes of the cluster"),
    "model cache": (".*/persistentvolumeclaims/.*", "claim nashflow-models"),
    "submitting": (".*/selfsubjectaccessreviews", "its own rights"),
    "service account": (".*/localsubjectaccessreviews", f"the rights of {RUNNER}"),
}


@pytest.mark.parametrize("check", FORBIDDEN)
def test_what_may_not_be_looked_at_is_no_failure(
    case: Callable[..., Case], cluster: KubernetesServer, check: str
) -> None:
    pattern, what = FORBIDDEN[check]
    cluster.forbidden.add(pattern)
    found = [each for each in look(case(), check) if each.state != "ok"]
    assert [each.state for each in found] == ["not tried"]
    assert f"not allowed to get {what}" in found[0].found
    assert found[0].advice


def test_without_a_way_to_anything_nothing_is_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kfp: KfpServer
) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    found = look(Case(paper(), Access()), "Kubeflow", "Kubernetes", *IN_CLUSTER)
    states = {each.check: each.state for each in found}
    assert {check for check, state in states.items() if state == "not tried"} == {
        *("Kubeflow", "Kubernetes", "submitting", "service account", "secrets", "config maps", "quotas", "nodes"),
        "model cache",
    }
    advice = {each.check: each.advice for each in found}
    assert "--kube-context, set KUBECONFIG" in advice["Kubernetes"]
    assert "give --host" in advice["Kubeflow"]


def test_a_pod_without_a_service_account_cannot_ask(monkeypatch: pytest.MonkeyPatch, kfp: KfpServer) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (only,) = look(Case(paper(), Access(kfp.url)), "Kubernetes")
    assert only.state == "not tried"
    assert "automountServiceAccountToken" in only.advice


def test_the_named_context_is_asked_about_its_own_namespace(
    cluster: KubernetesServer, kfp: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A context beside a host leads to Kubernetes alone; its namespace counts where none is given."""
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(cluster.kubeconfig(tmp_path / "b", "there")))
    found = look(Case(paper(), Access(kfp.url, kube_context="there")), "Kubernetes", "secrets")
    assert [each.state for each in found] == ["ok", "ok"]
    assert "namespace team" in found[0].found
    (unknown,) = look(Case(paper(), Access(kfp.url, kube_context="elsewhere")), "Kubernetes")
    assert (unknown.state, "elsewhere" in unknown.found) == ("not tried", True)


def test_without_a_recipe_what_recipes_name_is_not_tried(case: Callable[..., Case], kfp: KfpServer) -> None:
    bare = Case(None, Access(kfp.url, "team"))
    states = {each.check: each.state for each in look(bare, "Kubeflow", "Kubernetes", "submitting", "secrets", "nodes")}
    assert states == {
        **dict.fromkeys(("Kubeflow", "Kubernetes", "submitting"), "ok"),
        **dict.fromkeys(("secrets", "nodes"), "not tried"),
    }


def test_an_api_that_is_away_fails_once(case: Callable[..., Case], cluster: KubernetesServer, kfp: KfpServer) -> None:
    cluster.stop()
    kfp.stop()
    states = {
        each.check: each.state for each in look(case(), "Kubeflow", "Kubernetes", "secrets", "submitting", "nodes")
    }
    assert {check for check, state in states.items() if state == "failed"} == {"Kubeflow", "Kubernetes"}
    assert {state for check, state in states.items() if check not in ("Kubeflow", "Kubernetes")} == {"not tried"}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda kfp: setattr(kfp, "tokens", {"secret"}), "401"),
        (lambda kfp: kfp.faults.append(Fault("GET .*", "page", times=9)), "login page"),
        (lambda kfp: kfp.faults.append(Fault("GET .*/experiments", "403", times=9)), "kubeflow-edit"),
    ],
)
def test_what_kubeflow_refuses_is_said(case: Callable[..., Case], kfp: KfpServer, change: Any, found: str) -> None:
    change(kfp)
    (failure,) = (each for each in look(case(), "Kubeflow") if each.state == "failed")
    assert found in failure.found


def test_several_users_need_a_namespace(case: Callable[..., Case], kfp: KfpServer) -> None:
    failure = the_failure(Case(paper(), Access(kfp.url)), "Kubeflow")
    assert "--namespace" in failure.advice
