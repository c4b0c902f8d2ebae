"""Secrets are named and never rendered."""

import re
from typing import Any

import pytest
import yaml
from helm_python.errors import HelmError

from tests.helm.rendering import (
    JUDGE,
    OVERRIDE,
    POSTGRESQL,
    SCHEDULE,
    Object,
    Values,
    chart,
    containers,
    merged,
    of_kind,
    pod_specs,
    releases,
    render,
)

SENTINEL = "sentinel"
NAMES = {"s3", "registry", "database", "judge", "pins", "other", "reader", "hooks"}


def everything() -> Values:
    """Values in which every name and key of a secret is a sentinel of its own."""
    name = {key: f"{SENTINEL}-{key}" for key in NAMES}
    keys = {key: f"{SENTINEL}-{key}-key" for key in (*NAMES, "id")}
    secret = {"accessKeyIdKey": keys["id"], "secretAccessKeyKey": keys["s3"]}
    other = {
        "credentials": {"secretName": name["other"], "accessKeyIdKey": keys["id"], "secretAccessKeyKey": keys["other"]}
    }
    pins = {"secretEnv": {"A_TOKEN": {"secretName": name["pins"], "key": keys["pins"]}}}
    return {
        "imagePullSecrets": [name["registry"]],
        "s3": {"credentials": {"secretName": name["s3"], **secret}},
        "notifications": {"secretName": name["hooks"]},
        "kfp": {"launcher": {"create": True, "pipelineRoot": "s3://b/p", "overrides": [OVERRIDE | other]}},
        "runner": {"readSecrets": [name["reader"]]},
        "mlflow": merged(POSTGRESQL, {"postgresql": {"secretName": name["database"], "key": keys["database"]}}, pins),
        "judge": JUDGE | {"apiKey": {"secretName": name["judge"], "key": keys["judge"]}} | pins,
        "schedules": {"enabled": True, "items": [SCHEDULE]},
    }


def places(value: Any, path: str = "") -> list[str]:
    """Where a sentinel stands, list indices left out."""
    if isinstance(value, dict):
        return [place for key, inner in value.items() for place in places(inner, f"{path}.{key}")]
    if isinstance(value, list):
        return [place for inner in value for place in places(inner, path)]
    return [path] if SENTINEL in str(value) else []


def test_no_secret_is_rendered() -> None:
    for release in (*releases(), render(everything())):
        assert of_kind(release, "Secret") == []


def test_no_value_of_the_environment_is_the_name_or_key_of_a_secret() -> None:
    entries = [e for _, spec in pod_specs(render(everything())) for c in containers(spec) for e in c["env"]]
    assert [entry for entry in entries if SENTINEL in entry.get("value", "")] == []
    assert [entry for entry in entries if SENTINEL in str(entry)] != []


def test_secrets_are_named_where_kubernetes_and_kfp_look_them_up_and_nowhere_else() -> None:
    objects = render(everything())
    found = {place for o in objects for place in places(o)}
    pod = [".spec", ".spec.template.spec"]
    assert found <= {
        *(f"{spec}.imagePullSecrets.name" for spec in pod),
        *(
            f"{spec}.{kind}.env.valueFrom.secretKeyRef.{field}"
            for spec in pod
            for kind in ("containers", "initContainers")
            for field in ("name", "key")
        ),
        ".spec.containers.args",
        ".rules.resourceNames",
        ".data.providers",
        ".data.schedules.yaml",
    }
    named = {match for o in objects for match in re.findall(rf"{SENTINEL}-(\w+)\b(?!-key)", str(o))}
    assert named >= NAMES
    for config in of_kind(objects, "ConfigMap", "schedules"):
        assert places(yaml.safe_load(config["data"]["schedules.yaml"])) == [".schedules.set"]
        assert config["data"]["schedules.yaml"].count(SENTINEL) == 1


def test_whatever_looks_like_a_secret_comes_from_one() -> None:
    """In every release: a variable with such a name has no value in the pod's spec."""
    word = re.compile("PASSWORD|SECRET|TOKEN|KEY")
    for release in (*releases(), render(everything())):
        for name, spec in pod_specs(release):
            for entry in (e for c in containers(spec) for e in c["env"]):
                if word.search(entry["name"]) and not entry["name"].endswith("_PATH"):
                    assert entry["valueFrom"].keys() == {"secretKeyRef"}, (name, entry)


def test_notes_say_which_secrets_must_exist() -> None:
    notes = chart().render(everything(), name="nf", namespace="team")["nashflow/templates/NOTES.txt"]
    for key in ("s3", "database", "judge", "registry", "hooks"):
        assert f"\n  {SENTINEL}-{key}: " in notes


PASSWORD = "hunter2"
INLINE: list[tuple[str, Values]] = [
    ("/kfp/host", {"kfp": {"host": f"http://me:{PASSWORD}@kfp:8888"}}),
    ("/s3/endpoint", {"s3": {"endpoint": f"https://me:{PASSWORD}@s3"}}),
    ("/mlflow/trackingUri", {"mlflow": {"trackingUri": f"https://me:{PASSWORD}@mlflow"}}),
    ("/mlflow/env/AWS_SECRET_ACCESS_KEY", {"mlflow": {"env": {"AWS_SECRET_ACCESS_KEY": PASSWORD}}}),
    ("/mlflow/env/DB_PASSWORD", {"mlflow": {"env": {"DB_PASSWORD": PASSWORD}}}),
    ("/judge/env/HF_TOKEN", {"judge": {"env": {"HF_TOKEN": PASSWORD}}}),
    ("/judge/env/VLLM_API_KEY", {"judge": {"env": {"VLLM_API_KEY": PASSWORD}}}),
    ("/judge/env/HTTPS_PROXY", {"judge": {"env": {"HTTPS_PROXY": f"http://me:{PASSWORD}@proxy"}}}),
    ("/judge/extraArgs/0", {"judge": {"extraArgs": [f"--api-key={PASSWORD}"]}}),
    ("/judge/extraArgs/0", {"judge": {"extraArgs": [f"--hf_token={PASSWORD}"]}}),
    ("/mlflow/postgresql", {"mlflow": {"postgresql": {"uri": f"postgresql://me:{PASSWORD}@db/x"}}}),
    ("/mlflow/postgresql/secretName", {"mlflow": {"postgresql": {"secretName": f"postgresql://me:{PASSWORD}@db"}}}),
    ("/mlflow/artifacts/destination", {"mlflow": {"artifacts": {"destination": f"s3://me:{PASSWORD}@bucket"}}}),
    ("/s3/credentials", {"s3": {"credentials": {"secretAccessKey": PASSWORD}}}),
]


@pytest.mark.parametrize(("place", "values"), INLINE, ids=[place for place, _ in INLINE])
def test_a_secret_in_the_values_is_refused(place: str, values: Values) -> None:
    with pytest.raises(HelmError, match=re.escape(f"at '{place}'")):
        render(values)


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MONKEY", "AWS_CA_BUNDLE", "NO_PROXY"])
def test_a_variable_that_is_no_secret_is_accepted(name: str) -> None:
    (found,) = [
        o["spec"]["template"]["spec"]["containers"][0]["env"]
        for o in of_kind(render({"mlflow": {"env": {name: "x"}}}), "Deployment")
    ]
    assert {"name": name, "value": "x"} in found


def test_objects_name_no_secret_by_default_but_the_stores() -> None:
    def secrets(objects: list[Object]) -> set[str]:
        return {
            entry["valueFrom"]["secretKeyRef"]["name"]
            for _, spec in pod_specs(objects)
            for container in containers(spec)
            for entry in container["env"]
            if "secretKeyRef" in entry.get("valueFrom", {})
        }

    assert secrets(render()) == {"nashflow-s3"}
