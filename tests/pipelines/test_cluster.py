"""The recipe's cluster section: profiles, what differs from them, and what is refused."""

from typing import Any

import pytest

from nashflow.components.shared.errors import UserError
from nashflow.pipelines.cluster import PROFILES, STEPS, ClusterSettings


def cluster(**data: Any) -> ClusterSettings:
    return ClusterSettings.parse(data, "cluster")


def refusal(**data: Any) -> str:
    with pytest.raises(UserError) as caught:
        cluster(**data)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_says_what_every_step_asks_for(profile: str) -> None:
    assert set(PROFILES[profile]) == set(STEPS)
    for step in STEPS:
        asked = cluster(profile=profile).resources(step)
        assert asked == PROFILES[profile][step]
        assert (asked.accelerators > 0) == (asked.shared_memory != "")
    assert cluster(profile=profile).resources("preparation").retries == 0


def test_a_step_takes_what_it_says_and_the_rest_from_the_profile() -> None:
    settings = cluster(profile="one-node", steps={"training": {"memory": "400Gi", "accelerators": 4}})
    asked, profile = settings.resources("training"), PROFILES["one-node"]["training"]
    assert (asked.memory, asked.accelerators) == ("400Gi", 4)
    assert asked.model_copy(update={"memory": profile.memory, "accelerators": 8}) == profile
    assert settings.resources("rollout") == PROFILES["one-node"]["rollout"]


def test_shards_run_as_the_profile_has_it_unless_said() -> None:
    assert [cluster(profile=profile).parallelism for profile in ("cpu", "one-node", "many-nodes")] == [0, 8, 0]
    assert cluster(profile="one-node", shards_at_once=2).parallelism == 2


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"profile": "tpu"}, "profile: Input should be 'cpu', 'one-node' or 'many-nodes'"),
        ({"steps": {"training": {"memory": 16}}}, "steps.training.memory: 16 has no unit: set 16Gi"),
        ({"steps": {"training": {"memory": "16"}}}, "16 has no unit: set 16Gi"),
        ({"steps": {"training": {"memory": "16GB"}}}, "'16GB' is no amount of memory: set a number with Mi, Gi or Ti"),
        ({"steps": {"trainig": {"cpu": 1}}}, "trainig"),
        ({"steps": {"training": {"gpus": 1}}}, "steps.training.gpus: unknown key"),
        ({"production": True, "images": {"steps": "nashflow"}}, "images.steps is 'nashflow', whose content may change"),
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


@pytest.mark.parametrize("image", ["nashflow:1.2", "host:5000/nashflow:1.2", f"nashflow@sha256:{'0' * 64}"])
def test_a_tag_or_a_digest_fixes_an_image(image: str) -> None:
    images = {"steps": image, "vllm": image, "training": image}
    assert cluster(production=True, images=images).images.vllm == image


def test_an_image_without_a_tag_on_a_host_with_a_port_is_not_fixed() -> None:
    assert "whose content may change" in refusal(production=True, images={"steps": "host:5000/nashflow"})
