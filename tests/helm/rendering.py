"""Render the chart, and the list of value files that between them try every two switches together."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

CHART = Path(__file__).parents[2] / "helm" / "nashflow"
Object = dict[str, Any]
Values = dict[str, Any]

SCHEDULE = {"name": "weekly", "recipe": "quickstart", "cron": "0 0 3 * * 1", "runRoot": "s3://runs/weekly/{job}"}
POSTGRESQL = {
    "backend": "postgresql",
    "postgresql": {"secretName": "database"},
    "artifacts": {"destination": "s3://mlflow/artifacts"},
}
JUDGE = {"enabled": True, "model": "judge-7b"}
PINNED = {name: {"tag": "1.2.3"} for name in ("steps", "vllm", "training", "client")}
OVERRIDE = {
    "bucketName": "other",
    "endpoint": "http://minio.store:9000",
    "credentials": {"secretName": "other-s3", "accessKeyIdKey": "id", "secretAccessKeyKey": "key"},
}

SWITCHES: Mapping[str, Sequence[Values]] = {
    "production": [{}, {"production": True, "images": PINNED, "imagePullSecrets": ["registry"]}],
    "security": [{}, {"podSecurity": {"runAsUser": 1000, "runAsGroup": 0, "fsGroup": None}}],
    "store": [
        {},
        {"s3": {"endpoint": "http://seaweedfs.kubeflow.svc:9000"}},
        {"s3": {"credentials": {"secretName": ""}}, "runner": {"readSecrets": []}},
    ],
    "launcher": [{}, {"kfp": {"launcher": {"create": True, "pipelineRoot": "s3://b/p", "overrides": [OVERRIDE]}}}],
    "access": [
        {},
        {"rbac": {"create": False}},
        {"client": {"readNodes": True, "readSecrets": False, "serviceAccount": {"create": False}}},
    ],
    "trainer": [{}, {"trainer": {"enabled": True}}],
    "models": [{}, {"models": {"create": False, "claimName": "shared"}}, {"models": {"storageClassName": "fast"}}],
    "mlflow": [
        {},
        {"mlflow": {"enabled": False, "trackingUri": "https://mlflow.example.com"}},
        {"mlflow": POSTGRESQL | {"replicas": 2, "secretEnv": {"CA_PIN": {"secretName": "pins", "key": "ca"}}}},
        {"mlflow": {"upgradeDatabase": True, "artifacts": {"destination": "s3://mlflow/a"}, "env": {"A": "b"}}},
    ],
    "judge": [
        {},
        {"judge": JUDGE | {"apiKey": {"secretName": "judge-api-key"}, "maxModelLength": 4096}},
        {"judge": JUDGE | {"gpus": 4, "autoscaling": {"enabled": True}}},
        {"judge": JUDGE | {"gpus": 0, "autoscaling": {"enabled": True, "metricName": ""}}},
    ],
    "schedules": [
        {},
        {"schedules": {"enabled": True}},
        {"schedules": {"enabled": True, "onUninstall": "keep", "items": [SCHEDULE]}},
        {"schedules": {"enabled": True, "items": [SCHEDULE | {"recipe": "own"}]}, "recipes": {"own.yaml": "a: 1\n"}},
    ],
    "doctor": [{}, {"doctor": {"recipe": "quickstart", "runRoot": "s3://b/check", "strict": False, "skip": ["nodes"]}}],
    "network": [
        {},
        {"networkPolicies": {"enabled": False}},
        {"networkPolicies": {"scope": "namespace"}},
    ],
    "disruption": [{}, {"podDisruptionBudgets": {"enabled": False}}],
    "monitor": [{}, {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}],
}


def pairwise(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Rows of choices, `sizes[i]` of them in column i, such that any two choices of two columns meet in a row."""
    columns = range(len(sizes))
    missing = {
        ((a, x), (b, y))
        for a, b in itertools.combinations(columns, 2)
        for x, y in itertools.product(range(sizes[a]), range(sizes[b]))
    }
    while missing:
        row: dict[int, int] = dict(min(missing))
        for column in columns:
            if column not in row:
                gains = [
                    sum(tuple(sorted([(column, choice), other])) in missing for other in row.items())
                    for choice in range(sizes[column])
                ]
                row[column] = gains.index(max(gains))
        missing -= set(itertools.combinations(sorted(row.items()), 2))
        yield tuple(row[column] for column in columns)


@cache
def value_files() -> tuple[Values, ...]:
    """The examples that the chart ships, and values in which any two switches meet in any two positions."""
    examples = [yaml.safe_load(path.read_text()) for path in sorted((CHART / "examples").glob("*.yaml"))]
    rows = pairwise([len(choices) for choices in SWITCHES.values()])
    return (*examples, *(merged(*map(_choice, SWITCHES.values(), row)) for row in rows))


def _choice(choices: Sequence[Values], index: int) -> Values:
    return choices[index]


def merged(*parts: Values) -> Values:
    """Mappings laid over one another, the later ones on top."""
    result: Values = {}
    for part in parts:
        for key, value in part.items():
            inner = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if inner else value
    return result


@cache
def chart() -> Chart:
    """The chart, loaded once."""
    return Chart.load(CHART)


def render(values: Values | None = None, *, name: str = "nf", namespace: str = "team") -> list[Object]:
    """The objects of a release.

    Raises:
        HelmError: the values are refused.
    """
    return parsed(chart().render(values or {}, name=name, namespace=namespace))


def parsed(files: Mapping[str, str]) -> list[Object]:
    """The objects in rendered files."""
    texts = (text for path, text in files.items() if not path.endswith(".txt"))
    return [found for text in texts for found in yaml.load_all(text, yaml.CSafeLoader) if found]


def of_kind(objects: Sequence[Object], kind: str, name: str = "") -> list[Object]:
    """Objects of one kind whose names end so."""
    return [found for found in objects if found["kind"] == kind and found["metadata"]["name"].endswith(name)]


def only(objects: Sequence[Object], kind: str, name: str = "") -> Object:
    """The one object of a kind whose name ends so."""
    (found,) = of_kind(objects, kind, name)
    return found


def pod_specs(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """(kind and name, pod spec) of everything that makes pods."""
    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] == "Pod":
            yield f"Pod {found['metadata']['name']}", spec
        elif "template" in spec:
            yield f"{found['kind']} {found['metadata']['name']}", spec["template"]["spec"]


def containers(spec: Object) -> list[Object]:
    """The containers of a pod spec, initial ones too."""
    return [*spec.get("initContainers", []), *spec["containers"]]


@cache
def releases() -> tuple[tuple[Object, ...], ...]:
    """The objects of a release with each of the value files."""
    return tuple(tuple(render(values)) for values in value_files())
