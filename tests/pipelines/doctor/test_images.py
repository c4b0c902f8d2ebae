"""The images of a recipe: fixed, there, and allowed with the pull secrets that it names."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client

from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.finding import Finding
from nashflow.pipelines.doctor.show import show_json
from tests.fixtures.tracking import free_port
from tests.pipelines.doctor.cases import look, states, the_failure
from tests.pipelines.doctor.registry_server import RegistryServer
from tests.pipelines.kubernetes_server import KubernetesServer

Make = Callable[..., Case]


def secret(cluster: KubernetesServer, logins: dict[str, Any], name: str = "registry", old: bool = False) -> None:
    """Put a pull secret into the namespace: of today's form, or of that before Kubernetes 1.0."""
    kind, text = ("dockercfg", json.dumps(logins)) if old else ("dockerconfigjson", json.dumps({"auths": logins}))
    data = {f".{kind}": base64.b64encode(text.encode()).decode()}
    cluster.add("secrets", name, type=f"kubernetes.io/{kind}", data=data)


def of(case: Case, *checks: str) -> list[Finding]:
    return [each for each in look(case, "images") if each.check in checks]


NAMED = "cluster.image_pull_secrets=[registry]"
JOE = {"username": "joe", "password": "hunter2"}
CODED = {"auth": base64.b64encode(b"joe:hunter2").decode()}


def test_the_images_are_those_of_the_recipes_steps(case: Make) -> None:
    def used(*overrides: str) -> set[str]:
        tried = (each.tried for each in of(case(*overrides), "images"))
        return {text.partition(":")[0] for text in tried if text.startswith("cluster.images.")}

    steps, vllm, training, client = (f"cluster.images.{name}" for name in ("steps", "vllm", "training", "client"))
    assert used() == {steps, vllm, training}
    assert used("cluster.profile=cpu", "rollout.engine=transformers", "training.engine=torch") == {steps}
    assert used("cluster.iterations_per_run=2") == {steps, vllm, training, client}


def test_an_image_that_is_there(case: Make, registry: RegistryServer) -> None:
    assert {*states(of(case(), "images"))} == {"ok"}
    digest = f"sha256:{'0' * 64}"
    registry.images |= {f"a/deep/path@{digest}"}
    found = of(case(f"cluster.images.steps={registry.name}/a/deep/path@{digest}"), "images")
    assert [each.found for each in found[:2]] == ["fixed by its digest", "is there"]


def test_an_image_that_is_not(case: Make, registry: RegistryServer) -> None:
    registry.images.remove("nashflow-vllm:0.1.0")
    failure = the_failure(case(), "images")
    assert failure.tried == f"manifest of {registry.name}/nashflow-vllm:0.1.0"
    assert failure.found == f"{registry.name} has no such image"
    assert "push it, or correct cluster.images.vllm" in failure.advice


@pytest.mark.parametrize(("tag", "advised"), [("", "nashflow-steps:0.1.0"), (":latest", "nashflow-steps:0.1.0")])
def test_an_image_that_may_change(case: Make, registry: RegistryServer, tag: str, advised: str) -> None:
    registry.images.add("nashflow-steps:latest")
    failure = the_failure(case(f"cluster.images.steps={registry.name}/nashflow-steps{tag}"), "images")
    assert "may change" in failure.found
    assert failure.advice.endswith(
        f"cluster.images.steps to a digest or a tag of its own, such as {registry.name}/{advised}"
    )


@pytest.mark.parametrize("image", ["nashflow-steps:0.1.0", "acme/nashflow-steps:0.1.0"])
def test_a_name_without_a_registry_says_who_will_be_asked(case: Make, registry: RegistryServer, image: str) -> None:
    registry.seen.clear()
    (fixed, there) = of(case(f"cluster.images.steps={image}"), "images")[:2]
    assert (fixed.state, there.state) == ("ok", "not tried")
    assert "containerd asks Docker Hub, CRI-O the registries of its configuration" in there.found
    assert there.advice == f"set cluster.images.steps to REGISTRY/{image}"
    assert not [path for path, _ in registry.seen if "nashflow-steps" in path]


def test_a_registry_that_does_not_answer_here_may_answer_the_nodes(case: Make) -> None:
    port = free_port()
    found = of(case(f"cluster.images.vllm=127.0.0.1:{port}/nashflow-vllm:0.1.0"), "images")
    (away,) = (each for each in found if each.state != "ok")
    assert away.state == "not tried"
    assert f"127.0.0.1:{port} does not answer" in away.found
    assert away.advice == "no trouble where the nodes reach it"


# --- credentials -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["Bearer", "Basic"])
def private(registry: RegistryServer, request: pytest.FixtureRequest) -> RegistryServer:
    registry.challenge = request.param
    registry.private = {"nashflow-steps"}
    return registry


def the_unknown(case: Case) -> Finding:
    """The one thing that is neither right nor wrong."""
    (found,) = (each for each in look(case, "images") if each.state not in ("ok", "not needed"))
    assert found.state == "not known"
    return found


@pytest.mark.parametrize("others", [True, False])
def test_without_credentials_only_the_nodes_can_tell(
    case: Make, private: RegistryServer, cluster: KubernetesServer, others: bool
) -> None:
    """Those of a cloud have a role that opens its registry."""
    secret(cluster, {"another.invalid": JOE})
    unknown = the_unknown(case(*([NAMED] if others else [])))
    assert unknown.found == "not allowed without credentials, or not there; nodes may have credentials of their own"
    assert f"name a Secret for {private.name} in cluster.image_pull_secrets" in unknown.advice
    assert show_json([unknown], strict=True)


def test_pods_have_the_pull_secrets_of_their_account(
    case: Make, private: RegistryServer, cluster: KubernetesServer
) -> None:
    references = [client.V1LocalObjectReference(name="registry")]
    cluster.add("serviceaccounts", "nashflow-runner", image_pull_secrets=references)
    secret(cluster, {private.name: JOE})
    found = look(case(), "images")
    assert {*states(found)} == {"ok"}
    assert found[0].found == f"for {private.name}"
    secret(cluster, {"another.invalid": JOE}, "named")
    assert "not allowed without credentials" in the_unknown(case("cluster.image_pull_secrets=[named]")).found, (
        "Kubernetes takes the account's only where a pod names none"
    )


@pytest.mark.parametrize("kind", ["serviceaccounts", "secrets"])
def test_what_an_account_brings_may_be_hidden(
    case: Make, registry: RegistryServer, cluster: KubernetesServer, kind: str
) -> None:
    references = [client.V1LocalObjectReference(name="registry")]
    cluster.add("serviceaccounts", "nashflow-runner", image_pull_secrets=references)
    cluster.forbidden.add(f".*/{kind}/.*")
    unknown = the_unknown(case())
    assert unknown.check == "pull secrets"
    assert "not allowed to get" in unknown.found


@pytest.mark.parametrize("login", [JOE, CODED])
@pytest.mark.parametrize("old", [True, False])
def test_with_the_pull_secrets_it_is(
    case: Make, private: RegistryServer, cluster: KubernetesServer, login: dict[str, str], old: bool
) -> None:
    secret(cluster, {f"http://{private.name}/v2/": login, "another.invalid": JOE}, old=old)
    found = look(case(NAMED), "images")
    assert {*states(found)} == {"ok"}
    assert found[0].found == ", ".join(
        ["for " + min(private.name, "another.invalid"), max(private.name, "another.invalid")]
    )


def test_wrong_credentials_are_said_and_not_shown(
    case: Make, private: RegistryServer, cluster: KubernetesServer
) -> None:
    secret(cluster, {private.name: {**JOE, "password": "swordfish"}})
    found = look(case(NAMED), "images")
    steps = next(each for each in found if each.tried.startswith(f"manifest of {private.name}/nashflow-steps"))
    assert steps.state == "failed"
    assert steps.found == "not allowed with the pull secret's credentials"
    assert "rights of its user joe" in steps.advice
    assert "swordfish" not in str(found)


def test_credentials_that_only_nodes_use(case: Make, private: RegistryServer, cluster: KubernetesServer) -> None:
    """A token of a cloud's own kind."""
    secret(cluster, {private.name: {"identitytoken": "x"}})
    assert "which cannot be used here" in the_unknown(case(NAMED)).found


def test_a_pull_secret_that_may_not_be_looked_at(
    case: Make, private: RegistryServer, cluster: KubernetesServer
) -> None:
    cluster.forbidden.add(".*/secrets/.*")
    found = [each for each in look(case(NAMED), "images") if each.state != "ok"]
    assert [(each.check, each.state) for each in found] == [("pull secrets", "not tried"), ("images", "not known")]
    assert "not allowed to get secret registry" in found[0].found


PULL_SECRETS: dict[str, tuple[Callable[[KubernetesServer], Any], str]] = {
    "absent": (lambda cluster: None, "there is no such secret"),
    "of another kind": (lambda cluster: cluster.add("secrets", "registry", type="Opaque"), "its type is Opaque"),
    "without a registry": (lambda cluster: secret(cluster, {}), "no registry in its .dockerconfigjson"),
    "damaged": (
        lambda cluster: cluster.add("secrets", "registry", type="kubernetes.io/dockercfg", data={".dockercfg": "!"}),
        "no registry in its .dockercfg",
    ),
}


@pytest.mark.parametrize("what", PULL_SECRETS)
def test_a_pull_secret_that_is_none(case: Make, cluster: KubernetesServer, what: str) -> None:
    change, said = PULL_SECRETS[what]
    change(cluster)
    failure = the_failure(case(NAMED), "images")
    assert said in failure.found
    assert "kubectl create secret docker-registry registry -n team" in failure.advice


def test_registries_that_cannot_be_asked_and_have_no_pull_secret_are_named(
    case: Make, cluster: KubernetesServer
) -> None:
    """They may be open to nodes, or to all."""
    first, second = (f"127.0.0.1:{free_port()}" for _ in range(2))
    images = (f"cluster.images.vllm={first}/a:1", f"cluster.images.training={second}/b:1", NAMED)
    secret(cluster, {first: JOE})
    (unknown,) = (each for each in look(case(*images), "images") if each.state == "not known")
    assert unknown.check == "pull secrets"
    assert unknown.found == f"for {first}, and images are from {second}"
    assert f"--docker-server={second}" in unknown.advice
    secret(cluster, {second: JOE}, "other")
    both = case(*images[:2], "cluster.image_pull_secrets=[registry, other]")
    assert {*states(look(both, "images"))} == {"ok", "not tried"}
