"""The images of a recipe: their names, and the pull secrets that it names."""

from collections.abc import Callable

import pytest

from nashflow.components.core.version import VERSION
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
    torch = (
        "rollout.engine=transformers",
        "training.engine=torch",
        "training.launcher=process",
        "logprobs.dtype=float32",
    )
    assert used("cluster.profile=cpu", *torch) == [steps]


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        (f"registry.example.com/team/nashflow-steps:{VERSION}", "registry.example.com"),
        (f"localhost:5000/nashflow-steps:{VERSION}", "localhost:5000"),
        (f"localhost:5000/nashflow-steps:{VERSION}-2", "localhost:5000"),
        ("localhost:5000/steps:7", "localhost:5000"),
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
        f"cluster.images.steps to a digest or a tag of its own, such as localhost:5000/nashflow-steps:{VERSION}"
    )


@pytest.mark.parametrize("image", [f"nashflow-steps:{VERSION}", f"acme/nashflow-steps:{VERSION}"])
def test_a_name_without_a_registry_says_who_will_be_asked(case: Make, image: str) -> None:
    """Nodes may have the image already."""
    (steps, *_) = look(case(f"cluster.images.steps={image}"), "images")
    assert steps.state == "not known"
    assert "containerd asks Docker Hub, CRI-O the registries of its configuration" in steps.found
    assert f"set cluster.images.steps to REGISTRY/{image}" in steps.advice
    assert show_json([steps], strict=True)


@pytest.mark.parametrize("digest", ["", f"@{DIGEST}"])
def test_an_image_of_ours_of_another_version_is_not_trusted(case: Make, digest: str) -> None:
    (steps, *others) = look(case(f"cluster.images.steps=localhost:5000/nashflow-steps:0.0.9{digest}"), "images")
    assert steps.state == "not known"
    assert f"of another version than NashFlow {VERSION}" in steps.found
    assert f"localhost:5000/nashflow-steps:{VERSION}, and set cluster.images.steps to it" in steps.advice
    assert "install NashFlow 0.0.9" in steps.advice
    assert {*states(others)} == {"ok"}


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
