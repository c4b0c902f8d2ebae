"""The values: each is documented, checked and used; wrong ones are refused with the key and what to set."""

import importlib.util
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import jsonschema
import pytest
import yaml
from helm_python.errors import HelmValuesError
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.pipelines.cluster.schedules.cron import check_cron
from tests.helm.rendering import CHART, JUDGE, OVERRIDE, PINNED, POSTGRESQL, SCHEDULE, Values, chart, merged, render

SOURCE = (CHART / "values.yaml").read_text()
DEFAULTS: Values = yaml.safe_load(SOURCE)
SCHEMA: Values = json.loads((CHART / "values.schema.json").read_text())
DIGEST = "sha256:" + "c" * 64

_spec = importlib.util.spec_from_file_location("readme", CHART / "readme.py")
assert _spec
assert _spec.loader
readme = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(readme)


def one(**changes: Any) -> Values:
    return {"schedules": {"enabled": True, "items": [SCHEDULE | changes]}}


FROM = "/networkPolicies/judgeFrom/0/ipBlock"
WRONG: list[tuple[Values, str, str]] = [
    # keys that do not exist
    ({"judg": {}}, "", "additional properties 'judg' not allowed"),
    ({"images": {"steps": {"tga": "1"}}}, "/images/steps", "additional properties 'tga' not allowed"),
    (one(run_root="s3://b/{job}"), "/schedules/items/0", "additional properties 'run_root' not allowed"),
    ({"judge": {"resources": {"limit": {}}}}, "/judge/resources", "additional properties 'limit' not allowed"),
    # cron, run roots, settings
    (
        one(cron="0 3 * * 1"),
        "/schedules/items/0/cron",
        "value must be 'six fields, seconds first, such as 0 0 3 * * 1: 0-59 0-59 0-23 1-31 1-12 0-6'",
    ),
    (one(cron="@weekly"), "/schedules/items/0/cron", "value must be 'six fields, seconds first"),
    (one(cron="0 0 0 3 * * 1"), "/schedules/items/0/cron", "value must be 'six fields, seconds first"),
    (one(cron="99 99 99 99 * 9"), "/schedules/items/0/cron", "value must be 'six fields, seconds first"),
    (one(runRoot="s3://b/weekly"), "/schedules/items/0/runRoot", "value must be 'a run root that ends in {job}"),
    (one(runRoot="s3://b/{job}/x"), "/schedules/items/0/runRoot", "value must be 'a run root that ends in {job}"),
    (one(runRoot="s3://b/{job}/{job}"), "/schedules/items/0/runRoot", "value must be 'a run root that ends in {job}"),
    (one(runRoot="runs/{job}"), "/schedules/items/0/runRoot", "value must be 'a run root that ends in {job}"),
    (one(runRoot="s3://{job}"), "/schedules/items/0/runRoot", "value must be 'a run root that ends in {job}"),
    (
        one(recipe="../mine"),
        "/schedules/items/0/recipe",
        "value must be 'a shipped recipe\\'s name, or a key of recipes'",
    ),
    (one(set=["epochs"]), "/schedules/items/0/set/0", "value must be 'section.key=value"),
    (one(concurrency=0), "/schedules/items/0/concurrency", "minimum: got 0, want 1"),
    (one(concurrency=11), "/schedules/items/0/concurrency", "maximum: got 11, want 10"),
    (one(paused="yes"), "/schedules/items/0/paused", "got string, want boolean"),
    ({"schedules": {"items": [{"name": "x"}]}}, "/schedules/items/0", "missing properties 'recipe', 'cron', 'runRoot'"),
    ({"schedules": {"onUninstall": "drop"}}, "/schedules/onUninstall", "value must be one of 'delete', 'keep'"),
    # amounts
    (
        {"judge": {"resources": {"limits": {"memory": "16"}}}},
        "/judge/resources/limits/memory",
        "value must be 'a number with Mi, Gi or Ti, such as 16Gi'",
    ),
    (
        {"judge": {"resources": {"limits": {"memory": 16}}}},
        "/judge/resources/limits/memory",
        "value must be 'a number with",
    ),
    ({"models": {"size": "500 GB"}}, "/models/size", "value must be 'a number with Mi, Gi or Ti"),
    ({"judge": {"sharedMemory": "lots"}}, "/judge/sharedMemory", "value must be 'a number with"),
    (
        {"client": {"resources": {"requests": {"cpu": "half"}}}},
        "/client/resources/requests/cpu",
        "value must be 'a number of cores",
    ),
    ({"judge": {"replicas": -1}}, "/judge/replicas", "minimum: got -1, want 0"),
    ({"mlflow": {"replicas": -1}}, "/mlflow/replicas", "minimum: got -1, want 0"),
    ({"judge": {"gpus": 0.5}}, "/judge/gpus", "got number, want integer"),
    ({"judge": {"autoscaling": {"maxReplicas": 0}}}, "/judge/autoscaling/maxReplicas", "minimum"),
    # images
    (
        {"production": True},
        "/images/client/tag",
        "value must be 'a tag other than latest, or set the digest: production is true'",
    ),
    (
        {"production": True, "images": PINNED | {"vllm": {"tag": "latest"}}},
        "/images/vllm/tag",
        "value must be 'a tag other than",
    ),
    ({"images": {"steps": {"digest": "sha256:123"}}}, "/images/steps/digest", "value must be 'sha256: and 64"),
    (
        {"images": {"steps": {"repository": "x@sha256:1"}}},
        "/images/steps/repository",
        "value must be 'an image\\'s name without tag and digest",
    ),
    (
        {"mlflow": {"image": {"repository": "example.com:5000/mlflow:3", "tag": "3"}}},
        "/mlflow/image/repository",
        "value must be 'an image\\'s name without tag and digest",
    ),
    ({"images": {"steps": {"tag": "a b"}}}, "/images/steps/tag", "value must be 'a tag, such as 0.1.0"),
    ({"images": {"vllm": {"pullPolicy": "Sometimes"}}}, "/images/vllm/pullPolicy", "value must be one of"),
    ({"mlflow": {"image": {"repository": "mlflow"}}}, "/mlflow/image/tag", "value must be 'a tag, or set the digest"),
    # what needs something else
    (
        {"judge": {"enabled": True}},
        "/judge/model",
        "value must be 'a folder below the model cache: judge.enabled is true'",
    ),
    ({"kfp": {"launcher": {"create": True}}}, "/kfp/launcher/pipelineRoot", "value must be 's3://bucket/prefix"),
    ({"mlflow": {"backend": "postgresql"}}, "/mlflow/postgresql/secretName", "value must be 'the name of a Secret"),
    ({"mlflow": {"backend": "postgresql"}}, "/mlflow/artifacts/destination", "value must be 's3://bucket/prefix"),
    ({"mlflow": {"replicas": 2}}, "/mlflow/replicas", "value must be '0 or 1, with SQLite and with upgradeDatabase'"),
    ({"mlflow": POSTGRESQL | {"replicas": 2, "upgradeDatabase": True}}, "/mlflow/replicas", "value must be '0 or 1"),
    # addresses and names
    (
        {"kfp": {"host": "ml-pipeline:8888"}},
        "/kfp/host",
        "value must be 'an address that begins with http:// or https://",
    ),
    ({"kfp": {"host": ""}}, "/kfp/host", "value must be 'an address"),
    ({"s3": {"endpoint": "minio:9000"}}, "/s3/endpoint", "value must be 'an address"),
    (
        {"mlflow": {"artifacts": {"destination": "/data"}}},
        "/mlflow/artifacts/destination",
        "value must be 's3://bucket/prefix'",
    ),
    (
        {"runner": {"serviceAccount": {"name": "My Account"}}},
        "/runner/serviceAccount/name",
        "value must be 'a name in Kubernetes: lower-case letters",
    ),
    ({"fullnameOverride": "Mine"}, "/fullnameOverride", "value must be 'lower-case letters, digits and -, at most 40'"),
    ({"s3": {"credentials": {"accessKeyIdKey": "a b"}}}, "/s3/credentials/accessKeyIdKey", "value must be 'a key of"),
    (
        {"mlflow": {"allowedHosts": ["https://x"]}},
        "/mlflow/allowedHosts/0",
        "value must be 'a host name without scheme",
    ),
    ({"judge": {"model": "../etc"}}, "/judge/model", "value must be 'a folder below the model cache"),
    ({"judge": {"model": "a/../../etc"}}, "/judge/model", "value must be 'a folder below the model cache"),
    ({"doctor": {"runRoot": "/runs"}}, "/doctor/runRoot", "value must be 's3://bucket/prefix'"),
    ({"recipes": {"mine": "x: 1"}}, "/recipes/mine", "value must be 'under the name of a file, such as mine.yaml'"),
    ({"recipes": {"a.yaml": {"x": 1}}}, "/recipes/a.yaml", "got object, want string"),
    ({"mlflow": {"backend": "mysql"}}, "/mlflow/backend", "value must be one of 'sqlite', 'postgresql'"),
    # security and network
    ({"podSecurity": {"runAsUser": 0}}, "/podSecurity/runAsUser", "minimum: got 0, want 1"),
    ({"networkPolicies": {"scope": "all"}}, "/networkPolicies/scope", "value must be one of 'nashflow', 'namespace'"),
    ({"networkPolicies": {"kfp": {"ports": ["http"]}}}, "/networkPolicies/kfp/ports/0", "got string, want integer"),
    ({"networkPolicies": {"kfp": {"to": []}}}, "/networkPolicies/kfp/to", "minItems"),
    (
        {"networkPolicies": {"mlflowFrom": [{"podSelektor": {}}]}},
        "/networkPolicies/mlflowFrom/0",
        "additional properties",
    ),
    ({"networkPolicies": {"judgeFrom": [{}]}}, "/networkPolicies/judgeFrom/0", "minProperties"),
    *(
        ({"networkPolicies": {"judgeFrom": [{"ipBlock": {"cidr": cidr}}]}}, f"{FROM}/cidr", "value must be 'a range of")
        for cidr in ("hello", "10.0.0.1", "10.0.0.0/33", "256.0.0.0/8", "fd00::/129")
    ),
    (
        {"networkPolicies": {"judgeFrom": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["x"]}}]}},
        f"{FROM}/except/0",
        "value must be 'a range of",
    ),
    # labels
    ({"commonLabels": {"team": "x y"}}, "/commonLabels/team", "value must be 'a label\\'s value"),
    ({"commonLabels": {"a b": "x"}}, "", "invalid propertyName 'a b'\n  - at '': value must be 'a label\\'s name"),
    ({"client": {"nodeSelector": {"pool": "x/y"}}}, "/client/nodeSelector/pool", "value must be 'a label\\'s value"),
    ({"serviceMonitor": {"labels": {"release": "-"}}}, "/serviceMonitor/labels/release", "value must be 'a label\\'s"),
    # null takes a default away
    ({"mlflow": None}, "", "missing property 'mlflow'"),
    ({"judge": {"resources": None}}, "/judge", "missing property 'resources'"),
    ({"networkPolicies": {"dns": None}}, "/networkPolicies", "missing property 'dns'"),
    (
        {"s3": {"credentials": {"secretAccessKeyKey": None}}},
        "/s3/credentials",
        "properties 'secretAccessKeyKey' required",
    ),
]


@pytest.mark.parametrize(("values", "place", "message"), WRONG, ids=[place for _, place, _ in WRONG])
def test_wrong_values_are_refused_with_the_key_and_what_to_set(values: Values, place: str, message: str) -> None:
    with pytest.raises(HelmValuesError, match=re.escape(f"at '{place}': {message}")):
        render(values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(merged(DEFAULTS, values), SCHEMA)


FINE: list[Values] = [
    one(cron="*/30 0,15 3-5 * JAN-MAR MON"),
    one(cron="0  0 3 ? * 1"),
    {"production": True, "images": PINNED},
    {"production": True, "images": PINNED | {"vllm": {"digest": DIGEST}, "steps": {"tag": "latest", "digest": DIGEST}}},
    {"judge": {"resources": {"limits": {"memory": "1.5Ti", "cpu": 4, "example.com/nic": 1}}}},
    {"kfp": {"host": "https://kfp.example.com/pipeline"}},
    {"podSecurity": {"fsGroup": None}},
    {"global": {"anything": True}},
    {"mlflow": {"replicas": 0}},
    {"mlflow": {"enabled": False, "backend": "postgresql"}},
    {"mlflow": {"enabled": False, "replicas": 3, "upgradeDatabase": True}},
    {"images": {"steps": {"repository": "registry.example.com:5000/team/steps"}}},
    {"networkPolicies": {"judgeFrom": [{"ipBlock": {"cidr": "2001:db8::/32"}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}]}},
    {"commonLabels": {"example.com/team": "", "A_b.c": "1"}},
    {"judge": {"model": "org/llama-3..1_8b"}},
    {"podSecurity": {"runAsUser": None}},
    one(runRoot="s3://b/{job}/"),
    one(runRoot="s3://b/a/run-{job}"),
]


@pytest.mark.parametrize("values", FINE, ids=json.dumps)
def test_right_values_are_accepted(values: Values) -> None:
    assert render(values)
    jsonschema.validate(merged(DEFAULTS, values), SCHEMA)


def test_an_advice_is_no_value() -> None:
    advices = set(
        re.findall(r'"then": \{"const": "([^"]+)"\}, *\n? *"not"', (CHART / "values.schema.json").read_text())
    )
    assert len(advices) > 5
    for text in advices:
        for values in (one(cron=text), {"models": {"size": text}}, {"s3": {"endpoint": text}}, one(runRoot=text)):
            assert accepted(values) in ((), ("runRoot",)) or "{job}" in text


def accepted(values: Values) -> tuple[str, ...]:
    try:
        render(values)
    except HelmValuesError:
        return ()
    return tuple(values)


SECONDS = st.integers(0, 65).map(str)
PARTS = st.one_of(
    st.sampled_from(["*", "?", "*/2", "*/0", "mon-fri", "JAN", "x", "1-", "007", "1/5", ""]),
    SECONDS,
    st.tuples(SECONDS, SECONDS).map("-".join),
)
FIELD = st.lists(PARTS, min_size=1, max_size=2).map(",".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(FIELD, min_size=5, max_size=7).map(" ".join))
def test_a_cron_is_refused_here_where_the_command_refuses_it(cron: str) -> None:
    """But for what a pattern cannot see: ranges that run backwards, and dates that never come."""
    schema = SCHEMA["properties"]["schedules"]["properties"]["items"]["items"]["properties"]["cron"]
    fine = jsonschema.Draft7Validator(schema).is_valid(cron)
    try:
        said = check_cron(cron) and ""
    except UserError as error:
        said = str(error)
    assert said or fine
    assert not said or not fine or "lower end" in said or "no such date" in said


# --- the schema ------------------------------------------------------------------------------------------------------


def test_the_schema_is_one_and_accepts_the_defaults() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(DEFAULTS, SCHEMA)


def schemas(place: Any, path: str = "") -> Iterator[tuple[str, Values]]:
    """(path, schema) of every schema within a schema that describes an object."""
    if isinstance(place, dict):
        if place.get("type") == "object":
            yield path, place
        for key, inner in place.items():
            yield from schemas(inner, f"{path}/{key}")
    elif isinstance(place, list):
        for inner in place:
            yield from schemas(inner, path)


def test_every_object_says_which_keys_it_takes() -> None:
    open_ = {path.rpartition("/")[2] for path, found in schemas(SCHEMA) if "additionalProperties" not in found}
    assert open_ == {"global", "nodeAffinity", "podAffinity", "podAntiAffinity"}, "those are Kubernetes' and Helm's"
    for path, found in schemas(SCHEMA):
        if "properties" in found:
            assert found["additionalProperties"] is False, path


def test_whatever_has_a_default_has_to_be_there() -> None:
    """A value of null takes a default away, which templates rely on."""

    def missing(schema: Values, value: Any, path: str) -> Iterator[str]:
        for key in value.keys() & schema.get("properties", {}).keys():
            if key not in schema.get("required", ()):
                yield f"{path}{key}"
            if isinstance(value[key], dict):
                yield from missing(resolved(schema["properties"][key]), value[key], f"{path}{key}.")

    nullable = {f"podSecurity.{key}" for key in DEFAULTS["podSecurity"]}
    credentials = {f"s3.credentials.{key}" for key in DEFAULTS["s3"]["credentials"]}
    resources = {key for key in missing(SCHEMA, DEFAULTS, "") if ".resources." in key or "Selector." in key}
    assert set(missing(SCHEMA, DEFAULTS, "")) == nullable | credentials | resources


def leaves(value: Any, schema: Values, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, default) of the values, down to where the schema has no keys any more."""
    schema = resolved(schema)
    whole = value == {} or path.endswith(("Selector", ".resources")) or path in WHOLE
    if "properties" not in schema or whole:
        yield path, value
        return
    for key, inner in schema["properties"].items():
        if f"{path}{key}" != "global":
            assert key in value, f"{path}.{key} has no default in values.yaml"
            yield from leaves(value[key], inner, f"{path}.{key}" if path else key)


def resolved(schema: Values) -> Values:
    return SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


WHOLE = {f"networkPolicies.{name}" for name in ("dns", "kfp", "objectStore", "kubernetesApi", "postgresql")}
"""Values of several keys that are described as one."""
LEAVES = dict(leaves(DEFAULTS, SCHEMA))


def test_every_value_is_described_once() -> None:
    texts = readme.described(SOURCE)
    assert sorted(LEAVES) == sorted(texts)
    assert [key for key, text in texts.items() if not text.endswith((".", ")")) or len(text) < 5] == []


def test_the_readme_is_in_step_with_the_values() -> None:
    page = (CHART / "README.md").read_text()
    assert readme.readme(page, SOURCE) == page, "run python helm/nashflow/readme.py"
    assert readme.readme(page, SOURCE.replace("us-east-1", "eu-west-1")) != page


def test_the_chart_knows_the_shipped_recipes() -> None:
    assert (CHART / "recipes.txt").read_text() == readme.recipes(), "run python helm/nashflow/readme.py"
    assert "quickstart" in readme.recipes().splitlines()


def test_the_readmes_reader_of_comments() -> None:
    source = "# -- What a is,\n# and more.\na: 1\nb:\n  # aside\n  c: 2\n  # -- What d | is.\n  d: [x]\n"
    assert readme.described(source) == {"a": "What a is, and more.", "b.d": "What d | is."}
    assert readme.table(source).splitlines()[2:] == [
        "| `a` | `1` | What a is, and more. |",
        '| `b.d` | `["x"]` | What d \\| is. |',
    ]


# --- every value is read ---------------------------------------------------------------------------------------------

FULL: Values = merged(
    DEFAULTS,
    {
        "images": PINNED,
        "podSecurity": {"runAsUser": 1, "runAsGroup": 1},
        "kfp": {"launcher": {"create": True, "pipelineRoot": "s3://b/p"}},
        "trainer": {"enabled": True},
        "mlflow": POSTGRESQL | {"image": {"repository": "mlflow", "tag": "1"}},
        "judge": JUDGE | {"apiKey": {"secretName": "judge"}, "autoscaling": {"enabled": True}},
        "schedules": {"enabled": True, "items": [SCHEDULE]},
        "networkPolicies": {"scope": "namespace"},
        "serviceMonitor": {"enabled": True},
    },
)
PLACE = [{"namespaceSelector": {}}]
ELSE: dict[str, Any] = {
    "commonLabels": {"a": "b"},
    "imagePullSecrets": ["x"],
    "kfp.host": "http://x",
    "kfp.launcher.pipelineRoot": "s3://x",
    "kfp.launcher.overrides": [OVERRIDE],
    "s3.endpoint": "http://x",
    "runner.readSecrets": ["x"],
    "models.accessModes": ["ReadOnlyMany"],
    "mlflow.backend": "sqlite",
    "mlflow.trackingUri": "http://x",
    "mlflow.artifacts.destination": "s3://x",
    "mlflow.allowedHosts": ["x"],
    "judge.gpuResource": "x/y",
    "judge.extraArgs": ["--x"],
    "judge.autoscaling.metricName": "x",
    "schedules.onUninstall": "keep",
    "schedules.items": [],
    "recipes": {"x.yaml": "y: 1"},
    "doctor.recipe": "sandbox-dno",
    "doctor.runRoot": "s3://x",
    "doctor.skip": ["x"],
    "networkPolicies.scope": "nashflow",
    "networkPolicies.mlflowFrom": PLACE,
    "networkPolicies.judgeFrom": PLACE,
    "networkPolicies.monitoringFrom": PLACE,
    **{f"networkPolicies.{key}To": [{"to": PLACE, "ports": [1]}] for key in ("steps", "mlflow", "judge")},
    "s3.checksums": "when_required",
    "serviceMonitor.interval": "1s",
}
"""Other values, where no rule makes one from the default."""
MEANWHILE: dict[str, Values] = {
    "mlflow.trackingUri": {"mlflow": {"enabled": False}},
    "mlflow.volume": {"mlflow": {"backend": "sqlite"}},
    "judge.replicas": {"judge": {"autoscaling": {"enabled": False}}},
    "judge.autoscaling.cpuTarget": {"judge": {"autoscaling": {"metricName": ""}}},
    "images.client.pullPolicy": {},
}
"""What has to hold for a value to matter, where it does not in FULL; keys and what they begin with."""


def another(key: str, value: Any) -> Any:
    """Another value that is accepted."""
    if key in ELSE:
        return ELSE[key]
    if key.endswith(".pullPolicy"):
        return "Always"
    if key.endswith(".digest"):
        return DIGEST
    if key.endswith(".resources"):
        return {"requests": {"cpu": "3", "memory": "3Gi"}, "limits": {"memory": "3Gi"}}
    if key.endswith("Selector") and key.startswith("networkPolicies"):
        return {"matchLabels": {"x": "y"}}
    if key in WHOLE:
        return {"to": PLACE, "ports": [1234]}
    if key.endswith(".tolerations"):
        return [{"key": "x", "operator": "Exists"}]
    if key.endswith(".secretEnv"):
        return {"X": {"secretName": "x", "key": "y"}}
    if key.endswith(".affinity"):
        return {"nodeAffinity": {"x": "y"}}
    if isinstance(value, dict):
        return {"x": "y"}
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str) and re.fullmatch(r"\d+Gi", value):
        return "7Gi"
    return "x"


def placed(values: Values, key: str, value: Any) -> Values:
    """The values with one of them changed."""
    result = deepcopy(values)
    place: Any = result
    *parts, last = key.split(".")
    for part in parts:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    place[int(last) if isinstance(place, list) else last] = value
    return result


def test_every_value_makes_a_difference() -> None:
    """An option that nobody reads would be one that a user sets in vain."""
    files: dict[str, dict[str, str]] = {}

    def without_notes(values: Values) -> dict[str, str]:
        text = json.dumps(values)
        if text not in files:
            files[text] = chart().render(values, name="nf", namespace="team") | {"nashflow/templates/NOTES.txt": ""}
        return files[text]

    unread = []
    for key in LEAVES:
        needed = [values for start, values in MEANWHILE.items() if f"{key}.".startswith(f"{start}.")]
        base = merged(FULL, *needed)
        default: Any = base
        for part in key.split("."):
            default = default.get(part, {})
        if without_notes(base) == without_notes(placed(base, key, another(key, default))):
            unread.append(key)
    assert len(LEAVES) > 120
    assert unread == []
