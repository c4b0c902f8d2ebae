"""The recipe's cluster section: profiles, what differs from them, and what is refused."""

from typing import Any, get_args

import pytest

from nashflow.components.core.errors import UserError
from nashflow.pipelines.cluster.settings import ClusterSettings, is_fixed
from nashflow.pipelines.recipe import SHIPPED, load_recipe
from nashflow.pipelines.resources import Profile
from nashflow.pipelines.steps import STEPS

PROFILES = get_args(Profile)


def cluster(**data: Any) -> ClusterSettings:
    return ClusterSettings.parse(data, "cluster")


def refusal(**data: Any) -> str:
    with pytest.raises(UserError) as caught:
        cluster(**data)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_says_what_every_step_asks_for(profile: Profile) -> None:
    for step in STEPS:
        asked = cluster(profile=profile).resources(step)
        assert asked == STEPS[step].defaults(profile)
        assert (asked.accelerators > 0) == (asked.shared_memory != "")
        assert (asked.cpu_limit or asked.cpu) >= asked.cpu
        assert asked.retries == (0 if step == "preparation" else 3)
        assert type(asked).parse(asked.model_dump(), step) == asked


def test_a_step_takes_what_it_says_and_the_rest_from_the_profile() -> None:
    settings = cluster(profile="one-node", steps={"training": {"memory": "400Gi", "accelerators": 4}})
    asked, profile = settings.resources("training"), STEPS["training"].defaults("one-node")
    assert (asked.memory, asked.accelerators) == ("400Gi", 4)
    assert asked.model_copy(update={"memory": profile.memory, "accelerators": 8}) == profile
    assert settings.resources("rollout") == STEPS["rollout"].defaults("one-node")


@pytest.mark.parametrize(
    ("written", "cores"),
    [("250m", 0.25), ("1500m", 1.5), ("2", 2), ("0.5", 0.5), (2, 2), (0.25, 0.25), ("1m", 0.001), (95.123, 95.123)],
)
def test_cores_are_written_as_kubernetes_has_them(written: Any, cores: float) -> None:
    assert cluster(steps={"training": {"cpu": written}}).resources("training").cpu == cores


def test_a_steps_own_cpu_is_its_limit_unless_that_is_given_too() -> None:
    laptop = cluster(profile="laptop", steps={"training": {"cpu": 1}, "rollout": {"cpu_limit": 4}, "judging": {}})
    assert [(asked.cpu, asked.cpu_limit) for asked in map(laptop.resources, ("training", "rollout", "judging"))] == [
        (1, None),
        (0.25, 4),
        (0.25, 2),
    ]


def test_the_sandbox_asks_for_what_a_laptops_cluster_has() -> None:
    recipes = [load_recipe(file.stem) for file in SHIPPED.glob("*.yaml")]
    sandbox = [recipe for recipe in recipes if recipe.policy.kind == "sandbox"]
    assert len(sandbox) > 10
    for asked in (recipe.cluster.resources(step) for recipe in sandbox for step in STEPS):
        assert (asked.cpu, asked.memory) == (0.25, "2Gi")


def test_shards_run_as_the_profile_has_it_unless_said() -> None:
    assert [cluster(profile=profile).parallelism for profile in PROFILES] == [0, 0, 8, 0]
    assert cluster(profile="one-node", shards_at_once=2).parallelism == 2


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"profile": "tpu"}, "profile: Input should be 'laptop', 'cpu', 'one-node' or 'many-nodes'"),
        ({"steps": {"training": {"memory": 16}}}, "steps.training.memory: 16 has no unit: set 16Gi"),
        ({"steps": {"training": {"memory": "16"}}}, "16 has no unit: set 16Gi"),
        ({"steps": {"training": {"memory": "16GB"}}}, "'16GB' is no amount of memory: set a number with Mi, Gi or Ti"),
        ({"steps": {"training": {"memory": "1.5.2"}}}, "'1.5.2' is no amount of memory"),
        ({"steps": {"training": {"memory": True}}}, "True is no amount of memory"),
        ({"steps": {"training": {"memory": -5}}}, "-5 is no amount of memory"),
        ({"steps": {"training": {"memory": "0Gi"}}}, "'0Gi' is no amount of memory"),
        ({"steps": {"training": {"memory": ""}}}, "'' is no amount of memory"),
        ({"steps": {"training": {"shared_memory": 2}}}, "steps.training.shared_memory: 2 has no unit: set 2Gi"),
        (
            {"steps": {"training": {"shared_memory": "8192Mi"}}},
            "steps.training.shared_memory is 8192Mi, of a memory of 8Gi: lower it, or set a larger steps.training",
        ),
        ({"profile": "one-node", "steps": {"rollout": {"memory": "16Gi"}}}, "steps.rollout.shared_memory is 16Gi, of"),
        ({"steps": {"training": {"retries": 0}}}, "steps.training.retries is 0, and pods die with their nodes: set 1"),
        ({"steps": {"closing": {"retries": 0}}}, "steps.closing.retries is 0"),
        ({"steps": {"preparation": {"retries": 2}}}, "steps.preparation.retries is 2, and what preparation refuses is"),
        (
            {"steps": {"training": {"cpu": 0.0001}}},
            "steps.training.cpu: Input should be a multiple of 0.001, not 0.0001",
        ),
        ({"steps": {"training": {"cpu": 0}}}, "steps.training.cpu: Input should be greater than or equal to 0.001"),
        ({"steps": {"training": {"cpu": 1234567}}}, "steps.training.cpu: Input should be less than or equal to 10000"),
        *(
            ({"steps": {"training": {"cpu": amount}}}, f"steps.training.cpu: {amount!r} is no amount of CPU: set cores")
            for amount in ("250M", "0.5m", "m", "", "2 cores", "1e3", "-1", -1, True, 0.00001, [1])
        ),
        ({"steps": {"training": {"cpu": "0m"}}}, "steps.training.cpu: Input should be greater than or equal to 0.001"),
        (
            {"steps": {"training": {"cpu_limit": "500m"}}},
            "steps.training.cpu_limit is 0.5, for a cpu of 2: raise it, or lower steps.training.cpu",
        ),
        ({"steps": {"training": {"retries": 2**31}}}, "steps.training.retries: Input should be less than or equal to"),
        ({"steps": {"training": {"timeout_seconds": 2**63}}}, "timeout_seconds: Input should be less than or equal to"),
        ({"steps": {"training": {"accelerators": 2**63}}}, "accelerators: Input should be less than or equal to"),
        ({"shards_at_once": 2**31}, "shards_at_once: Input should be less than or equal to"),
        ({"ttl_seconds": 2**31}, "ttl_seconds: Input should be less than or equal to"),
        ({"steps": {"trainig": {"cpu": 1}}}, "steps.trainig: unknown step; did you mean training?"),
        ({"steps": {"training": {"gpus": 1}}}, "steps.training.gpus: unknown key"),
        ({"production": True, "images": {"steps": "nashflow"}}, "images.steps is 'nashflow', an image that may change"),
        (
            {"production": True, "images": {"vllm": "host:5000/a:latest"}},
            "production needs a digest or a tag other than",
        ),
        ({"secrets": [{"name": "s3", "keys": {}}]}, "secrets.0.keys"),
        ({"steps": {"training": {"tolerations": [{"key": "a", "effect": "Never"}]}}}, "effect"),
    ],
)
def test_what_is_wrong_is_one_clear_line(data: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(**data)


DIGEST = f"sha256:{'0' * 64}"
IMAGES = {
    "nashflow:1.2": True,
    "host:5000/nashflow:1.2": True,
    f"nashflow@{DIGEST}": True,
    f"a.example.com/b_c/d--e:latest@{DIGEST}": True,
    "host:5000/nashflow": False,
    "nashflow": False,
    "localhost/nashflow:latest": False,
}
MALFORMED = (
    "",
    "A B:x",
    "nashflow@sha256:abc",
    "nashflow:",
    "Nashflow:1",
    "a//b:1",
    "-a:1",
    "a:.1",
    "nashflow:$PART",
    "nashflow:1\n",
    f"nashflow@{DIGEST}0",
    "a" * 457,
)


@pytest.mark.parametrize("image", IMAGES)
def test_a_tag_or_a_digest_fixes_an_image(image: str) -> None:
    images = {"steps": image, "vllm": image, "training": image}
    assert cluster(images=images).images.vllm == image
    assert is_fixed(image) == IMAGES[image]
    if IMAGES[image]:
        assert cluster(production=True, images=images).images.vllm == image
    else:
        assert "an image that may change" in refusal(production=True, images=images)


@pytest.mark.parametrize("image", MALFORMED)
def test_a_malformed_image_is_refused_and_fixes_nothing(image: str) -> None:
    assert f"images.vllm: {image!r} is no image" in refusal(images={"vllm": image})
    assert not is_fixed(image)


# --- what Kubernetes takes as a name ---------------------------------------------------------------------------------


def of_a_step(**values: Any) -> dict[str, Any]:
    return {"steps": {"rollout": values}}


def of_an_entry(name: str = "s3", key: str = "key", variable: str = "AWS_ACCESS_KEY_ID") -> dict[str, Any]:
    return {"name": name, "keys": {key: variable}}


NAMES: list[tuple[dict[str, Any], str]] = [
    ({"secrets": [of_an_entry(name="My_Secret")]}, "secrets.0.name: 'My_Secret' is no name of a Kubernetes object"),
    ({"config_maps": [of_an_entry(name="")]}, "config_maps.0.name: '' is no name of a Kubernetes object"),
    ({"config_maps": [of_an_entry(name="a" * 254)]}, "is no name of a Kubernetes object"),
    ({"config_maps": [of_an_entry(key="")]}, "'' is no key of a Secret or ConfigMap"),
    ({"secrets": [of_an_entry(key="..")]}, "'..' is no key of a Secret or ConfigMap"),
    ({"secrets": [of_an_entry(variable="1 x=y")]}, "secrets.0.keys.key: '1 x=y' is no name of an environment variable"),
    ({"service_account": "Bad Name"}, "service_account: 'Bad Name' is no name of a Kubernetes object"),
    ({"models": {"claim": "Bad Claim"}}, "models.claim: 'Bad Claim' is no name of a Kubernetes object"),
    *(
        (
            {"models": {"claim": "models", "path": path}},
            f"models.path: {path!r} is no folder to mount at: set an absolute",
        )
        for path in ("models", "/", "", "//", "/a:b", "/a/../b", "/a b")
    ),
    ({"image_pull_secrets": ["A B"]}, "image_pull_secrets.0: 'A B' is no name of a Kubernetes object"),
    (of_a_step(node_selector={"bad key!": "v"}), "'bad key!' is no key of a label"),
    (of_a_step(node_selector={"a/b/c": "v"}), "'a/b/c' is no key of a label"),
    (of_a_step(node_selector={"pool": "v v"}), "steps.rollout.node_selector.pool: 'v v' is no value of a label"),
    (of_a_step(node_selector={"pool": "ä"}), "'ä' is no value of a label"),
    (of_a_step(accelerator_type="gpu"), "steps.rollout.accelerator_type: 'gpu' is no resource of a vendor"),
    (of_a_step(tolerations=[{"key": "bad key"}]), "steps.rollout.tolerations.0.key: 'bad key' is no key of a label"),
    (of_a_step(tolerations=[{"key": "a", "operator": "Equal", "value": "b c"}]), "'b c' is no value of a label"),
    (
        of_a_step(tolerations=[{"operator": "Equal", "value": "b"}]),
        "Equal compares a key's value: set key",
    ),
    (of_a_step(tolerations=[{"key": "a", "value": "b"}]), "tolerations.0: Exists takes no value: set operator: Equal"),
]


@pytest.mark.parametrize(("data", "complaint"), NAMES)
def test_a_name_that_a_cluster_refuses_is_refused(data: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(**data)


def test_names_that_a_cluster_takes_are_taken() -> None:
    settings = cluster(
        secrets=[of_an_entry(name="s3.team-a" + "b" * 99, key="access_key.txt", variable="_A1")],
        service_account="",
        image_pull_secrets=["0"],
        models={"claim": "models", "path": "/mnt/model-cache.v1/"},
        **of_a_step(
            node_selector={"nvidia.com/gpu.product": "H100_80", "pool": ""},
            accelerator_type="nvidia.com/mig-1g.5gb",
            tolerations=[{"key": "example.com/team", "operator": "Equal", "value": "a"}],
            memory="1.5Ti",
            cpu=95.123,
        ),
    )
    assert settings.resources("rollout").memory == "1572864Mi", "whole numbers alone are KFP's"
    assert settings.resources("rollout").node_selector == {"nvidia.com/gpu.product": "H100_80", "pool": ""}
