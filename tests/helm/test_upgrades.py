"""A release can be upgraded and rolled back: what Kubernetes does not let change stays as it is."""

import shutil
from pathlib import Path

import pytest
from helm_python import Chart

from nashflow.components.core.version import VERSION
from tests.helm.rendering import CHART, JUDGE, POSTGRESQL, SCHEDULE, Object, Values, parsed, render

BEFORE: Values = {
    "judge": JUDGE,
    "trainer": {"enabled": True},
    "client": {"readNodes": True},
    "schedules": {"enabled": True, "items": [SCHEDULE]},
}
AFTER: list[Values] = [
    {"images": {"vllm": {"tag": "9"}, "client": {"repository": "other", "tag": "9"}}},
    {"commonLabels": {"release": "2"}},
    {"mlflow": POSTGRESQL | {"replicas": 2}},
    {"judge": JUDGE | {"gpus": 4, "model": "other", "autoscaling": {"enabled": True}}},
    {"networkPolicies": {"scope": "namespace"}, "production": False},
    {"schedules": {"enabled": True, "items": []}, "recipes": {"a.yaml": "b: 1"}},
]


def immutable(objects: list[Object]) -> dict[tuple[str, str], object]:
    """What cannot be changed in place, by kind and name; hooks are deleted and made anew."""
    fields = {
        "Deployment": lambda o: o["spec"]["selector"],
        "RoleBinding": lambda o: o["roleRef"],
        "ClusterRoleBinding": lambda o: o["roleRef"],
        "PersistentVolumeClaim": lambda o: {k: v for k, v in o["spec"].items() if k != "resources"},
    }
    kept = [o for o in objects if o["kind"] in fields and "helm.sh/hook" not in o["metadata"].get("annotations", {})]
    return {(o["kind"], o["metadata"]["name"]): fields[o["kind"]](o) for o in kept}


@pytest.mark.parametrize("values", AFTER, ids=lambda values: "-".join(values))
def test_other_values_change_nothing_that_cannot_be_changed(values: Values) -> None:
    before, after = immutable(render(BEFORE)), immutable(render(BEFORE | values))
    common = before.keys() & after.keys()
    assert {kind for kind, _ in common} == {"Deployment", "RoleBinding", "ClusterRoleBinding", "PersistentVolumeClaim"}
    assert {key: before[key] for key in common} == {key: after[key] for key in common}


def test_another_version_changes_nothing_that_cannot_be_changed(tmp_path: Path) -> None:
    newer = tmp_path / "nashflow"
    shutil.copytree(CHART, newer)
    page = newer / "Chart.yaml"
    page.write_text(page.read_text().replace(VERSION, "7.8.9+build.1"))
    after = parsed(Chart.load(newer).render(BEFORE, name="nf", namespace="team"))
    assert {o["metadata"]["labels"]["helm.sh/chart"] for o in after} == {"nashflow-7.8.9_build.1"}
    assert immutable(after) == immutable(render(BEFORE))
    assert {(o["kind"], o["metadata"]["name"]) for o in after} == {
        (o["kind"], o["metadata"]["name"]) for o in render(BEFORE)
    }


def test_no_selector_knows_a_version() -> None:
    for _, found in immutable(render(BEFORE)).items():
        assert VERSION not in str(found)


@pytest.mark.parametrize("keep", [True, False])
def test_volumes_stay_when_the_release_goes_where_that_is_asked_for(keep: bool) -> None:
    objects = render({"models": {"keep": keep}, "mlflow": {"volume": {"keep": keep}}})
    claims = [o["metadata"] for o in objects if o["kind"] == "PersistentVolumeClaim"]
    policies = [claim.get("annotations", {}).get("helm.sh/resource-policy") for claim in claims]
    assert policies == ["keep" if keep else None] * 2
