"""Helm accepts the chart, and every object of every combination of switches is valid in three Kubernetes versions."""

import itertools
import json
from collections.abc import Iterator

import jsonschema
import kubernetes_validate
import pytest
from helm_python import chart as helm
from kubernetes_validate import utils

from tests.helm.rendering import CHART, SWITCHES, chart, of_kind, pairwise, releases, render, value_files

OLDEST, NEWEST = "1.29", utils.major_minor(kubernetes_validate.latest_version())
VERSIONS = [OLDEST, "1.33", NEWEST]
SERVICE_MONITOR = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["endpoints", "selector"],
            "additionalProperties": False,
            "properties": {
                "selector": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}},
                },
                "endpoints": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "path": {"type": "string"},
                            "interval": {"type": "string", "pattern": r"^(0|(\d+h)?(\d+m)?(\d+s)?(\d+ms)?)$"},
                        },
                    },
                },
            },
        }
    },
}
"""What the chart uses of the Prometheus operator's monitoring.coreos.com/v1, which is no part of Kubernetes."""


@pytest.fixture(autouse=True, scope="module")
def _schemas_are_read_once() -> Iterator[None]:
    """kubernetes-validate reads a megabyte of JSON for every object."""
    read, seen = utils.schema_contents, {}

    def contents(filename: str, version: str) -> object:
        if filename not in seen:
            seen[filename] = read(filename, version)
        return seen[filename]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", contents)
        yield


@pytest.mark.parametrize("values", value_files(), ids=lambda _: "")
def test_lint_finds_nothing(values: dict) -> None:
    assert helm.lint(CHART, values, strict=True) == {"total_charts_linted": 1, "messages": [], "errors": []}


def test_lint_finds_what_is_wrong() -> None:
    assert helm.lint(CHART, {"judge": {"enabled": True}}, strict=True)["errors"] != []


def test_any_two_switches_meet_in_any_two_positions() -> None:
    sizes = [len(choices) for choices in SWITCHES.values()]
    met = {pair for row in pairwise(sizes) for pair in itertools.combinations(enumerate(row), 2)}
    columns = itertools.combinations(range(len(sizes)), 2)
    assert len(met) == sum(sizes[a] * sizes[b] for a, b in columns)
    assert len(list(pairwise(sizes))) <= 30


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str) -> None:
    different = {json.dumps(found, sort_keys=True) for release in releases() for found in release}
    checked = 0
    for found in map(json.loads, different):
        if found["kind"] == "ServiceMonitor":
            jsonschema.validate(found, SERVICE_MONITOR)
        else:
            assert kubernetes_validate.validate(found, version, strict=True) == version
        checked += 1
    assert checked > 100


def test_validation_is_strict() -> None:
    found = of_kind(render(), "Deployment")[0]
    found["spec"]["template"]["spec"]["containers"][0]["imagePulPolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePulPolicy"):
        kubernetes_validate.validate(found, NEWEST, strict=True)


def test_the_chart_names_the_oldest_version_that_is_checked() -> None:
    assert chart().metadata["kubeVersion"] == f">={OLDEST}.0-0"


def test_a_switch_brings_its_objects_and_nothing_else() -> None:
    kinds = {"ClusterRole", "HorizontalPodAutoscaler", "ServiceMonitor", "Job"}
    assert kinds & {found["kind"] for found in render()} == set()
    everything = {found["kind"] for release in releases() for found in release}
    assert everything == kinds | {
        "ClusterRoleBinding",
        "ConfigMap",
        "Deployment",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "Pod",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    }


def test_no_two_objects_have_one_name() -> None:
    for release in releases():
        names = [(found["kind"], found["metadata"]["name"]) for found in release]
        assert len(names) == len(set(names))


def test_two_releases_share_only_the_names_that_recipes_refer_to() -> None:
    first, second = ({(o["kind"], o["metadata"]["name"]) for o in render(name=name)} for name in ("one", "two"))
    assert first & second == {
        ("ConfigMap", "nashflow-env"),
        ("PersistentVolumeClaim", "nashflow-models"),
        ("ServiceAccount", "nashflow-runner"),
        ("ServiceAccount", "nashflow-client"),
    }


def test_names_fit_however_long_the_release_is_called() -> None:
    for found in render({"judge": {"enabled": True, "model": "m"}, "schedules": {"enabled": True}}, name="r" * 53):
        assert len(found["metadata"]["name"]) <= 63, found["metadata"]["name"]


def test_names_do_not_repeat_the_chart() -> None:
    assert of_kind(render(name="nashflow"), "Service", "nashflow-mlflow")
    assert of_kind(render(name="nf"), "Service", "nf-nashflow-mlflow")
    assert of_kind(render({"fullnameOverride": "mine"}), "Service", "mine-mlflow")
    assert of_kind(render({"nameOverride": "flow"}), "Service", "nf-flow-mlflow")


def test_a_release_called_by_a_number_has_labels_that_are_texts() -> None:
    for found in render(name="123"):
        assert all(isinstance(value, str) for value in found["metadata"]["labels"].values())
        kubernetes_validate.validate(found, NEWEST, strict=True)


def test_labels_of_the_users_are_everywhere_and_replace_none_of_the_charts() -> None:
    labels = {"team": "alignment", "app.kubernetes.io/name": "other"}
    for found in render({"commonLabels": labels, "schedules": {"enabled": True}}):
        assert found["metadata"]["labels"]["team"] == "alignment"
        assert found["metadata"]["labels"]["app.kubernetes.io/name"] == "nashflow"


def test_nothing_is_rendered_into_another_namespace() -> None:
    for release in releases():
        assert all(found["metadata"].get("namespace") in (None, "team") for found in release)


def test_the_packaged_chart_holds_no_tool_of_ours() -> None:
    names = {found["name"] for found in chart().files}
    assert {name for name in names if name.endswith(".py")} == set()
    examples = {f"examples/{path.name}" for path in (CHART / "examples").glob("*.yaml")}
    assert {"README.md", "recipes.txt", *examples} <= names
