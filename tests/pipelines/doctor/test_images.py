"""The images of a recipe: their names, and the pull secrets that it names."""

from collections.abc import Callable

import pytest

from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.show import show_json
from tests.pipelines.doctor.cases import look, states, the_failure
from tests.pipelines.kubernetes_server import KubernetesServer

Make = Callable[..., Case]

NAMED = "cluster.image_pull_secrets=[registry]"
DIGEST = f"sha256:{'0' * 64}"


def test_the_images_are_those_of_the_recipes_steps(case: Make) -> None:
    def used(*overrides: str) -> list[str]:
        return [each.tried.partition(":")[0] for each in look(case(*overrides), "images")]

    steps, vllm, training = (f"cluster.images.{name}" for name in ("steps", "vllm", "training"))
    assert sorted(used()) == [steps, training, vllm]
    assert used("cluster.profile=cpu", "rollout.engine=transformers", "training.engine=torch") == [steps]


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("registry.example.com/team/nashflow-steps:0.1.0", "registry.example.com"),
        ("localhost:5000/nashflow-steps:0.1.0", "localhost:5000"),
        (f"registry:5000/a/deep/path@{DIGEST}", "registry:5000"),
    ],
)
def test_a_fixed_name_with_its_registry_is_right(case: Make, image: str, registry: str) -> None:
    (steps, *others) = look(case(f"cluster.images.steps={image}"), "images")
    assert (steps.state, steps.found) == ("ok", f"fixed, in the registry {registry}")
    assert {*states(others)} == {"ok"}


@pytest.mark.parametrize("tag", ["", ":latest"])
def test_an_image_that_may_change(case: Make, tag: str) -> None:
    failure = the_failure(case(f"cluster.images.steps=localhost:5000/nashflow-steps{tag}"), "images")
    assert "may change" in failure.found
    assert failure.advice.endswith(
        "cluster.images.steps to a digest or a tag of its own, such as localhost:5000/nashflow-steps:0.1.0"
    )


@pytest.mark.parametrize("image", ["nashflow-steps:0.1.0", "acme/nashflow-steps:0.1.0"])
def test_a_name_without_a_registry_says_who_will_be_asked(case: Make, image: str) -> None:
    """Nodes may have the image already."""
    (steps, *_) = look(case(f"cluster.images.steps={image}"), "images")
    assert steps.state == "not known"
    assert "containerd asks Docker Hub, CRI-O the registries of its configuration" in steps.found
    assert f"set cluster.images.steps to REGISTRY/{image}" in steps.advice
    assert show_json([steps], strict=True)


@pytest.mark.parametrize("kind", ["dockerconfigjson", "dockercfg"])
def test_a_pull_secret_that_is_there(case: Make, cluster: KubernetesServer, kind: str) -> None:
    cluster.add("secrets", "registry", type=f"kubernetes.io/{kind}")
    found = look(case(NAMED), "images")
    assert {*states(found)} == {"ok"}
    assert found[-1].tried == "pull secret registry in team"


@pytest.mark.parametrize(("kind", "said"), [("", "there is no such secret"), ("Opaque", "its type is Opaque")])
def test_a_pull_secret_that_is_none(case: Make, cluster: KubernetesServer, kind: str, said: str) -> None:
    if kind:
        cluster.add("secrets", "registry", type=kind)
    failure = the_failure(case(NAMED), "images")
    assert said in failure.found
    assert "kubectl create secret docker-registry registry -n team" in failure.advice


def test_a_pull_secret_that_may_not_be_looked_at(case: Make, cluster: KubernetesServer) -> None:
    cluster.forbidden.add(".*/secrets/.*")
    found = look(case(NAMED), "images")
    assert states(found) == ["ok", "ok", "ok", "not tried"]
    assert "not allowed to get secret registry" in found[-1].found
