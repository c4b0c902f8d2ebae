"""`nashflow doctor` against a cluster: what it finds where everything is there, and where one thing is not."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes.config import kube_config

from nashflow.components.shared.errors import UserError
from nashflow.pipelines import cli
from nashflow.pipelines.client import connection
from nashflow.pipelines.client.access import Access
from nashflow.pipelines.cluster import StepResources, Toleration
from nashflow.pipelines.commands import app
from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.examination import CHECKS, examine
from nashflow.pipelines.doctor.finding import Finding
from nashflow.pipelines.doctor.nodes import misfit
from nashflow.pipelines.recipe import Recipe, load_recipe
from tests.pipelines.client.server import Fault, KfpServer
from tests.pipelines.kubernetes_server import TRAINER, KubernetesServer, claim, node

RUNNER = "system:serviceaccount:team:nashflow-runner"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
VARIABLES = dict.fromkeys(("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"), "x")
IN_CLUSTER = ("submitting", "service account", "secrets", "config maps", "images", "nodes", "model cache", "Trainer")


def paper(*overrides: str) -> Recipe:
    """The paper's recipe, which names something of everything."""
    return load_recipe("inpo-llama3-8b", overrides)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KubernetesServer]:
    """A cluster that has all that the paper's recipe needs, and its kubeconfig as the user's own."""
    server = KubernetesServer()
    server.add("secrets", "nashflow-s3", data=KEYS, type="Opaque")
    server.add("configmaps", "nashflow-env", data=VARIABLES)
    server.add("serviceaccounts", "nashflow-runner")
    server.add("persistentvolumeclaims", "nashflow-models", **claim())
    labels = {"nvidia.com/gpu.product": "H100"}
    server.nodes = [
        node("a", taints=["nvidia.com/gpu=:NoSchedule"], labels=labels),
        node("b", taints=["nvidia.com/gpu=present:NoSchedule"], labels=labels),
        node("c", 0, cpu="8", memory="64Gi"),
    ]
    server.served["trainer.kubeflow.org/v1alpha1"] = TRAINER
    config = server.kubeconfig(tmp_path / "kubeconfig")
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(config))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    yield server
    server.stop()


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KfpServer]:
    """Kubeflow Pipelines for several users, with short waits."""
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH", "KFP_EXISTING_TOKEN", "KFP_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(connection._Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.setattr(connection, "_PATIENCE_SECONDS", 0.2)
    server = KfpServer()
    server.multi_user = True
    yield server
    server.stop()


@pytest.fixture
def case(cluster: KubernetesServer, kfp: KfpServer) -> Callable[..., Case]:
    return lambda *overrides: Case(paper(*overrides), Access(kfp.url, "team"))


def look(case: Case, *names: str) -> list[Finding]:
    """What some checks find."""
    return list(examine(case, tuple(name for name in CHECKS if name not in names)))


def the_failure(case: Case, name: str) -> Finding:
    """The one failure that a check finds."""
    (failure,) = (found for found in look(case, name) if found.state == "failed")
    assert failure.advice
    return failure


def test_everything_is_found_where_everything_is_there(case: Callable[..., Case], cluster: KubernetesServer) -> None:
    found = look(case(), "Kubeflow", "Kubernetes", *IN_CLUSTER)
    assert [each for each in found if each.state not in ("ok", "not needed")] == []
    assert {each.check for each in found if each.state == "ok"} == {
        *("Kubeflow", "Kubernetes", "submitting", "service account", "secrets", "config maps", "images", "nodes"),
        "model cache",
    }
    assert [each.check for each in found if each.state == "not needed"] == ["pull secrets", "Trainer"]
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


HOST = {"auths": {"https://registry.example.com/v1": {}}}
PULL = base64.b64encode(json.dumps(HOST).encode()).decode()
TAINT = "nvidia.com/gpu=:NoSchedule"
ONE_GROUP = (
    "cluster.profile=cpu",
    *(f"cluster.steps.{step}.cpu=2" for step in ("preparation", "reporting", "closing")),
)
SAME = (*ONE_GROUP, *(f"cluster.steps.{step}.memory=8Gi" for step in ("preparation", "reporting", "closing")))
FAILURES: dict[str, tuple[str, tuple[str, ...], Any, str, str]] = {
    # Check, overrides of the recipe, what is wrong with the cluster, what is found, what is advised.
    "secret": (
        *("secrets", (), lacks("secrets", "nashflow-s3"), "no such thing"),
        "kubectl create secret generic nashflow-s3 -n team --from-literal=AWS_ACCESS_KEY_ID=…",
    ),
    "secret's key": (
        *("secrets", (), has("secrets", "nashflow-s3", data={"AWS_ACCESS_KEY_ID": "a"})),
        *("lacks AWS_SECRET_ACCESS_KEY", "correct cluster.secrets; it has AWS_ACCESS_KEY_ID"),
    ),
    "secret without data": ("secrets", (), has("secrets", "nashflow-s3"), "lacks AWS_ACCESS", "it has no keys"),
    "config map": (
        *("config maps", (), lacks("configmaps", "nashflow-env"), "no such thing"),
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
        *("service account", ("cluster.profile=many-nodes",), may_not(RUNNER, "create trainjobs.trainer.kubeflow.org")),
        *("may not create trainjobs.trainer.kubeflow.org", "runner role"),
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
        *("Trainer", ("cluster.profile=many-nodes",), lambda cluster: cluster.served.clear()),
        *("not served: trainjobs, trainingruntimes, clustertrainingruntimes", "install Kubeflow Trainer v2"),
    ),
    "Trainer in part": (
        *("Trainer", ("cluster.profile=many-nodes",)),
        lambda cluster: cluster.served.update({"trainer.kubeflow.org/v1alpha1": TRAINER[:1]}),
        *("not served: trainingruntimes, clustertrainingruntimes", "Trainer"),
    ),
    "image without a tag": (
        *("images", ("cluster.images={steps: registry.example.com:5000/nashflow}",), lambda cluster: None),
        *(
            "may change",
            "cluster.images.steps to a digest or a tag of its own, such as registry.example.com:5000/nashflow:0.1.0",
        ),
    ),
    "latest image": (
        *("images", ("cluster.images={vllm: 'a.example.com/b:latest'}",), lambda cluster: None),
        *("may change", "cluster.images.vllm"),
    ),
    "pull secret": (
        *("images", ("cluster.image_pull_secrets=[registry]",), lambda cluster: None),
        *("no such secret", "kubectl create secret docker-registry registry -n team"),
    ),
    "pull secret of another kind": (
        *("images", ("cluster.image_pull_secrets=[registry]",), has("secrets", "registry", type="Opaque")),
        *("its type is Opaque", "docker-registry"),
    ),
    "pull secret of another registry": (
        *("images", ("cluster.image_pull_secrets=[registry]",)),
        has("secrets", "registry", type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": PULL}),
        *("for registry.example.com, and the images are from the default registry", "--docker-server"),
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
        *("with only 1Ti memory", "lower cluster.steps.training.memory"),
    ),
    "too few CPUs": (
        *("nodes", (*SAME, "cluster.steps.rollout.cpu=95.5"), nodes(node("a", cpu="95400m"))),
        *("with only 95400m cpu", "lower cluster.steps.rollout.cpu"),
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
    "nodes": (".*/nodes", "nodes of the cluster"),
    "model cache": (".*/persistentvolumeclaims/.*", "claim nashflow-models"),
    "submitting": (".*/selfsubjectaccessreviews", "its own rights"),
    "service account": (".*/subjectaccessreviews", f"the rights of {RUNNER}"),
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


def test_in_an_installation_for_one_user_kubeflow_asks_nobody(case: Callable[..., Case], kfp: KfpServer) -> None:
    kfp.multi_user = False
    assert [each.state for each in look(case(), "submitting")] == ["not needed"]


@pytest.mark.parametrize(("several", "account"), [(True, "default-editor"), (False, "pipeline-runner")])
def test_without_an_account_it_is_kubeflows_own(
    case: Callable[..., Case], cluster: KubernetesServer, kfp: KfpServer, several: bool, account: str
) -> None:
    kfp.multi_user = several
    assert (
        f"service account {account} in team" in the_failure(case("cluster.service_account=''"), "service account").tried
    )
    cluster.add("serviceaccounts", account)
    assert [each.state for each in look(case("cluster.service_account=''"), "service account")] == ["ok", "ok"]


def test_without_a_way_to_anything_nothing_is_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kfp: KfpServer
) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    found = look(Case(paper(), Access()), "Kubeflow", "Kubernetes", *IN_CLUSTER)
    states = {each.check: each.state for each in found}
    assert {check for check, state in states.items() if state == "not tried"} == {
        *("Kubeflow", "Kubernetes", "submitting", "service account", "secrets", "config maps", "nodes", "model cache")
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


# --- nodes: a pod that fits keeps fitting on more, or if it asks for less ---------------------------------------------

AMOUNTS = st.integers(0, 64)


@settings(max_examples=100)
@given(cpu=AMOUNTS, memory=AMOUNTS, gpus=AMOUNTS, asked=AMOUNTS, tainted=st.booleans(), tolerated=st.booleans())
def test_whether_a_pod_fits(cpu: int, memory: int, gpus: int, asked: int, tainted: bool, tolerated: bool) -> None:
    tolerations = (Toleration(key="nvidia.com/gpu"),) if tolerated else ()
    resources = StepResources(cpu=8, memory="32Gi", accelerators=asked, tolerations=tolerations)
    there = node("a", gpus, cpu=str(cpu), memory=f"{memory}Gi", taints=[TAINT] if tainted else [])
    expected = cpu >= 8 and memory >= 32 and gpus >= asked and (tolerated or not tainted)
    assert (misfit(there, resources) is None) is expected


@pytest.mark.parametrize(
    ("toleration", "taint", "fits"),
    [
        (Toleration(key="a"), "a=b:NoSchedule", True),
        (Toleration(key="a", operator="Equal", value="b"), "a=b:NoSchedule", True),
        (Toleration(key="a", operator="Equal", value="c"), "a=b:NoSchedule", False),
        (Toleration(key="a"), "a=b:NoExecute", False),
        (Toleration(key="a", effect="NoExecute"), "a=b:NoExecute", True),
        (Toleration(key="b"), "a=b:NoSchedule", False),
        (Toleration(key="b"), "a=b:PreferNoSchedule", True),
    ],
)
def test_taints_are_matched_as_kubernetes_does(toleration: Toleration, taint: str, fits: bool) -> None:
    resources = StepResources(tolerations=(toleration,))
    assert (misfit(node("a", taints=[taint]), resources) is None) is fits


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`nashflow` with the commands of this file alone: exit code, stdout, stderr."""
    main = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    main.add_typer(app)
    monkeypatch.setattr(cli, "app", main)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("MLFLOW_TRACKING_URI", "NASHFLOW_JUDGE_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["nashflow", *arguments])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        return (int(exit.value.code or 0), *capsys.readouterr())

    return run


def test_the_command_says_all_and_exits_with_the_result(
    call: Callable[..., tuple[int, str, str]], cluster: KubernetesServer, kfp: KfpServer
) -> None:
    where = ("inpo-llama3-8b", "--host", kfp.url, "--namespace", "team", "--skip", "object store")
    code, out, err = call("doctor", *where)
    assert (code, err) == (0, "")
    assert "not needed" in out
    cluster.objects["secrets"].clear()
    code, out, _ = call("doctor", *where)
    assert code == 1
    assert "1 failed" in out
    assert "→ kubectl create secret generic nashflow-s3" in out
    code, out, _ = call("doctor", *where, "--json")
    told = json.loads(out)
    assert (code, told["ok"]) == (1, False)
    (failed,) = (each for each in told["findings"] if each["state"] == "failed")
    assert failed.keys() == {"check", "state", "tried", "found", "advice"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("inpo-llama3-9b",), "no such recipe"),
        (("quickstart", "--skip", "node"), "--skip node: no such check; did you mean nodes?"),
        (("quickstart", "--set", "cluster.profile=gpu"), "cluster.profile"),
    ],
)
def test_bad_input_is_one_line(
    call: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], line: str
) -> None:
    code, out, err = call("doctor", *arguments)
    assert (code, out) == (2, "")
    assert line in err
    assert len(err.splitlines()) == 1


def test_a_check_that_breaks_stops_no_other(case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(case: Case) -> Iterator[Finding]:
        yield Finding("secrets", "ok", "one")
        raise KeyError("a mistake of ours with https://joe:hunter2@host")

    monkeypatch.setitem(CHECKS, "secrets", broken)  # type: ignore[arg-type]
    found = look(case(), "secrets", "config maps")
    assert [each.state for each in found] == ["ok", "failed", "ok"]
    assert "KeyError: 'a mistake of ours" in found[1].found
    assert "hunter2" not in found[1].found


def test_only_known_checks_are_skipped(case: Callable[..., Case]) -> None:
    with pytest.raises(UserError, match="no such check"):
        examine(case(), ("nothing",))
