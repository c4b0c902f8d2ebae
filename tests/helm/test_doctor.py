"""`helm test`: the pod that runs `nashflow doctor`, and what it tries."""

from itertools import pairwise
from typing import Any

import pytest

from nashflow.pipelines.doctor.checksums import VARIABLES as CHECKSUMS
from nashflow.pipelines.doctor.examination import CHECKS
from nashflow.pipelines.recipe import load_recipe
from tests.helm.command_line import asked
from tests.helm.rendering import (
    JUDGE,
    PINNED,
    SCHEDULE,
    Object,
    Values,
    merged,
    of_kind,
    pod_specs,
    releases,
    render,
)

SCHEDULED: Values = {
    "schedules": {"enabled": True, "items": [SCHEDULE, SCHEDULE | {"name": "b", "recipe": "sandbox-dno"}]}
}
WHERE = ["--host", "http://ml-pipeline.kubeflow.svc:8888", "--namespace", "team"]


def container(objects: list[Object]) -> Object:
    (pod,) = of_kind(objects, "Pod")
    (found,) = pod["spec"]["containers"]
    return found


def options(found: Object, option: str) -> list[str]:
    """What an option of the command is given, each time."""
    args = found["args"]
    return [value for name, value in pairwise(args) if name == option]


def test_without_a_recipe_it_looks_at_what_every_recipe_needs() -> None:
    objects = render()
    (pod,) = of_kind(objects, "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert container(objects)["command"] + container(objects)["args"] == ["nashflow", "doctor", *WHERE]
    assert pod["spec"]["serviceAccountName"] == "nashflow-client"


def test_it_has_the_steps_environment_and_starts_without_the_secret() -> None:
    sources = {e["name"]: e["valueFrom"] for e in container(render(SCHEDULED))["env"] if "valueFrom" in e}
    config = {"MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", *CHECKSUMS}
    assert {key: {"configMapKeyRef": {"name": "nashflow-env", "key": key}} for key in config}.items() <= sources.items()
    for key in sources.keys() - config:
        assert sources[key] == {"secretKeyRef": {"name": "nashflow-s3", "key": key, "optional": True}}
    assert sources.keys() - config == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_the_first_recurring_run_is_tried_as_it_will_be() -> None:
    first = SCHEDULE | {"set": ["training.epochs=2"]}
    values = merged(SCHEDULED, {"schedules": {"items": [first]}, "images": PINNED, "imagePullSecrets": ["registry"]})
    found = container(render(values))
    assert found["args"][:2] == ["doctor", "quickstart"]
    assert options(found, "--run-root") == [SCHEDULE["runRoot"]]
    recipe = load_recipe("quickstart", options(found, "--set"))
    images = recipe.cluster.images.model_dump()
    assert images == {name: f"nashflow-{name}:1.2.3" for name in ("steps", "vllm", "training")}
    assert recipe.cluster.image_pull_secrets == ("registry",)
    assert recipe.cluster.service_account == "nashflow-runner"
    assert recipe.training.epochs == 2


def test_the_recipe_and_the_place_that_are_given_win() -> None:
    doctor = {"recipe": "sandbox-inpo", "runRoot": "s3://b/check", "skip": ["model cache"]}
    found = container(render(merged(SCHEDULED, {"doctor": doctor})))
    assert found["args"][:2] == ["doctor", "sandbox-inpo"]
    assert options(found, "--run-root") == ["s3://b/check"]
    assert "model cache" in options(found, "--skip")
    assert options(container(render({"doctor": {"runRoot": "s3://b/check"}})), "--run-root") == ["s3://b/check"]


@pytest.mark.parametrize("strict", [True, False])
def test_what_could_not_be_tried_is_a_failure_where_there_is_a_recipe(strict: bool) -> None:
    values = merged(SCHEDULED, {"doctor": {"strict": strict}})
    assert ("--strict" in container(render(values))["args"]) is strict
    assert "--strict" not in container(render({"doctor": {"strict": strict}}))["args"]


@pytest.mark.parametrize(
    ("values", "skipped"),
    [
        ({"client": {"readNodes": True}}, set()),
        ({}, {"nodes"}),
        ({"client": {"readNodes": True, "readSecrets": False}}, {"secrets"}),
        (
            {"client": {"readNodes": True, "readSecrets": False}, "imagePullSecrets": ["registry"]},
            {"secrets", "images"},
        ),
        ({"client": {"readNodes": True}, "mlflow": {"enabled": False}}, {"MLflow"}),
        ({"client": {"readNodes": True}, "mlflow": {"enabled": False, "trackingUri": "https://m.example.com"}}, set()),
    ],
)
def test_what_there_is_no_right_to_try_is_left_out(values: Values, skipped: set[str]) -> None:
    found = container(render(merged(SCHEDULED, values)))
    assert set(options(found, "--skip")) == skipped


def test_all_that_helm_prints_the_logs_of_is_one_pod_that_stays() -> None:
    """Helm makes no further test pod after one that fails, and asks for the logs of all of them."""
    for release in releases():
        tests = [
            found for found in release if "test" in found["metadata"].get("annotations", {}).get("helm.sh/hook", "")
        ]
        assert [found["kind"] for found in tests] == ["Pod"]
        assert tests[0]["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"


def test_the_commands_of_all_pods_are_commands() -> None:
    seen = {}
    for release in releases():
        for name, spec in pod_specs(release):
            for found in spec["containers"]:
                if found.get("command") == ["nashflow"]:
                    seen[name.partition("nf-nashflow-")[2]] = asked(["nashflow", *found["args"]])[0]
    assert seen == {"doctor": "doctor", "schedules": "schedule apply", "unschedule": "schedule apply"}


def test_checks_that_are_left_out_exist() -> None:
    for release in releases():
        for pod in of_kind(release, "Pod"):
            assert set(options(pod["spec"]["containers"][0], "--skip")) <= CHECKS.keys()


@pytest.mark.parametrize("key", ["", "judge-key"])
def test_it_finds_the_judge_and_its_key(key: str) -> None:
    def variables(values: Values) -> dict[str, Any]:
        return {e["name"]: e.get("value", e.get("valueFrom")) for e in container(render(values))["env"]}

    found = variables({"judge": JUDGE | {"apiKey": {"secretName": key}}})
    assert found["NASHFLOW_JUDGE_URL"] == "http://nf-nashflow-judge.team.svc:8000/v1"
    reference = {"secretKeyRef": {"name": key, "key": "api-key", "optional": True}}
    assert found.get("NASHFLOW_JUDGE_API_KEY") == (reference if key else None)
    assert "NASHFLOW_JUDGE_URL" not in variables({})


def test_it_ends_before_helm_does() -> None:
    for pod in of_kind(render(SCHEDULED), "Pod"):
        assert pod["spec"]["activeDeadlineSeconds"] < 300
