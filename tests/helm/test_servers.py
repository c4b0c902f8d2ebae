"""MLflow and the judge: how they are started, found, scaled and kept; and the configuration that steps find."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python.errors import HelmRenderError

from nashflow.components.core.version import VERSION
from nashflow.components.oracles.llm_judge.settings import LLMJudge
from nashflow.pipelines.doctor.checksums import VARIABLES as CHECKSUMS
from nashflow.pipelines.recipe import SHIPPED, load_recipe
from tests.fixtures.tracking import free_port
from tests.helm.rendering import (
    JUDGE,
    OVERRIDE,
    POSTGRESQL,
    Object,
    Values,
    chart,
    merged,
    of_kind,
    only,
    releases,
    render,
)
from tests.helm.traffic import selects


def container(objects: list[Object], part: str) -> Object:
    (found,) = only(objects, "Deployment", part)["spec"]["template"]["spec"]["containers"]
    return found


def environment(found: Object) -> dict[str, Any]:
    """A container's environment: a value, or where it comes from."""
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in found["env"]}


def mounts(objects: list[Object], part: str) -> dict[str, Object]:
    """The volumes of a server by the place where they are mounted."""
    spec = only(objects, "Deployment", part)["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    return {mount["mountPath"]: volumes[mount["name"]] | mount for mount in spec["containers"][0]["volumeMounts"]}


# --- what holds for both ---------------------------------------------------------------------------------------------


def test_every_selector_finds_exactly_its_server() -> None:
    seen = set()
    for release in releases():
        labels = {
            o["metadata"]["name"]: o["spec"]["template"]["metadata"]["labels"] for o in of_kind(release, "Deployment")
        }
        for found in release:
            name, spec = found["metadata"]["name"], found.get("spec", {})
            selector = {"matchLabels": spec["selector"]} if found["kind"] == "Service" else spec.get("selector")
            if found["kind"] in ("Deployment", "Service", "PodDisruptionBudget"):
                assert [other for other, own in labels.items() if selects(selector, own)] == [name]
                seen.add(found["kind"])
            if found["kind"] == "ServiceMonitor":
                services = of_kind(release, "Service")
                assert [s["metadata"]["name"] for s in services if selects(selector, s["metadata"]["labels"])] == [name]
                (port,) = [p["port"] for p in spec["endpoints"]]
                assert port in [p["name"] for p in only(release, "Service", name)["spec"]["ports"]]
                seen.add(found["kind"])
            if found["kind"] == "HorizontalPodAutoscaler":
                target = spec["scaleTargetRef"]
                assert (target["kind"], target["name"]) == ("Deployment", name)
                assert name in labels
                assert "replicas" not in only(release, "Deployment", name)["spec"]
                seen.add(found["kind"])
    assert seen == {"Deployment", "Service", "PodDisruptionBudget", "ServiceMonitor", "HorizontalPodAutoscaler"}


def test_services_and_probes_go_to_ports_that_there_are() -> None:
    objects = render({"judge": JUDGE})
    for part in ("mlflow", "judge"):
        found = container(objects, part)
        names = {port["name"] for port in found["ports"]}
        assert {port["targetPort"] for port in only(objects, "Service", part)["spec"]["ports"]} == names
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert found[probe]["httpGet"] == {"path": "/health", "port": "http"}
        assert f"--port={found['ports'][0]['containerPort']}" in found["args"]
        assert "--host=0.0.0.0" in found["args"]


def test_drains_go_on_one_replica_at_a_time() -> None:
    for found in of_kind(render({"judge": JUDGE}), "PodDisruptionBudget"):
        assert found["spec"]["maxUnavailable"] == 1
        assert found["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize(("part", "values"), [("mlflow", {}), ("judge", {"judge": JUDGE})])
def test_where_servers_run(part: str, values: Values) -> None:
    place = {
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "high",
    }
    objects = render(merged({"judge": {"gpus": 0}}, values, {part: place, "client": place}))
    for spec in (only(objects, "Deployment", part)["spec"]["template"]["spec"], only(objects, "Pod")["spec"]):
        assert {key: spec[key] for key in place} == place


# --- MLflow ----------------------------------------------------------------------------------------------------------


def test_sqlite_is_on_a_volume_that_one_server_opens() -> None:
    objects = render({"mlflow": {"volume": {"size": "5Gi", "storageClassName": "fast"}}})
    server = only(objects, "Deployment", "mlflow")["spec"]
    assert (server["replicas"], server["strategy"]) == (1, {"type": "Recreate"})
    claim = only(objects, "PersistentVolumeClaim", "mlflow")
    assert mounts(objects, "mlflow")["/mlflow"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "5Gi"
    assert claim["spec"]["storageClassName"] == "fast"
    assert environment(container(objects, "mlflow"))["MLFLOW_BACKEND_STORE_URI"] == "sqlite:////mlflow/mlflow.db"
    assert "--artifacts-destination=file:///mlflow/artifacts" in container(objects, "mlflow")["args"]


def test_postgresql_is_reached_through_a_secret_and_needs_no_volume() -> None:
    objects = render({"mlflow": POSTGRESQL | {"replicas": 3}})
    server = only(objects, "Deployment", "mlflow")["spec"]
    assert (server["replicas"], server["strategy"]) == (3, {"type": "RollingUpdate"})
    assert of_kind(objects, "PersistentVolumeClaim", "-mlflow") == []
    assert mounts(objects, "mlflow").keys() == {"/tmp"}
    found = environment(container(objects, "mlflow"))
    assert found["MLFLOW_BACKEND_STORE_URI"] == {"secretKeyRef": {"name": "database", "key": "uri"}}
    assert found["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "nashflow-s3", "key": "AWS_SECRET_ACCESS_KEY"}}
    assert found["AWS_ENDPOINT_URL"] == {"configMapKeyRef": {"name": "nashflow-env", "key": "AWS_ENDPOINT_URL"}}
    assert "--artifacts-destination=s3://mlflow/artifacts" in container(objects, "mlflow")["args"]


def test_the_database_is_upgraded_before_the_server_starts_and_by_one_alone() -> None:
    objects = render({"mlflow": POSTGRESQL | {"upgradeDatabase": True}})
    server = only(objects, "Deployment", "mlflow")["spec"]
    (first,) = server["template"]["spec"]["initContainers"]
    assert environment(first) == environment(container(objects, "mlflow"))
    assert server["strategy"] == {"type": "Recreate"}
    assert "URI)" not in str(first["command"]), "an argument is seen by whoever sees the node's processes"


def test_the_upgrade_makes_the_schema_of_the_database_in_its_environment(tmp_path: Path) -> None:
    (first,) = only(render({"mlflow": {"upgradeDatabase": True}}), "Deployment", "mlflow")["spec"]["template"]["spec"][
        "initContainers"
    ]
    assert first["command"][0] == "python3"
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_BACKEND_STORE_URI": uri}
    subprocess.run([sys.executable, *first["command"][1:]], env=variables, cwd=tmp_path, check=True)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("select count(*) from alembic_version").fetchone() == (1,)


def test_another_store_restarts_the_server_that_uses_it() -> None:
    def template(mlflow: Values, **s3: str) -> Object:
        return only(render({"mlflow": mlflow, "s3": s3}), "Deployment", "mlflow")["spec"]["template"]

    assert template(POSTGRESQL) == template(POSTGRESQL)
    assert template(POSTGRESQL) != template(POSTGRESQL, endpoint="http://minio:9000")
    assert template(POSTGRESQL) != template(POSTGRESQL, region="eu-1")
    assert template({}) == template({}, endpoint="http://minio:9000")


def test_mlflows_image_is_the_clients_unless_it_has_its_own() -> None:
    assert container(render(), "mlflow")["image"] == f"nashflow-client:{VERSION}"
    digest = "sha256:" + "b" * 64
    own = {"repository": "mlflow", "digest": digest, "tag": "1", "pullPolicy": "Always"}
    found = container(render({"mlflow": {"image": own}}), "mlflow")
    assert (found["image"], found["imagePullPolicy"]) == (f"mlflow@{digest}", "Always")


def test_mlflow_answers_to_its_names() -> None:
    (hosts,) = [
        argument.partition("=")[2].split(",")
        for argument in container(render({"mlflow": {"allowedHosts": ["mlflow.example.com"]}}), "mlflow")["args"]
        if argument.startswith("--allowed-hosts=")
    ]
    from mlflow.server.security_utils import is_allowed_host_header

    service = "nf-nashflow-mlflow"
    for host in (service, f"{service}.team", f"{service}.team.svc", f"{service}.team.svc.cluster.local"):
        assert is_allowed_host_header(hosts, host)
        assert is_allowed_host_header(hosts, f"{host}:5000")
    assert is_allowed_host_header(hosts, "localhost:5000")
    assert is_allowed_host_header(hosts, "mlflow.example.com")
    assert not is_allowed_host_header(hosts, "evil.example.com")
    assert not is_allowed_host_header(hosts, "10.0.0.1:5000")


@pytest.mark.slow
def test_the_rendered_command_starts_a_server_that_takes_runs(tmp_path: Path) -> None:
    found, port = container(render(), "mlflow"), free_port()

    def here(text: str) -> str:
        return text.replace("/mlflow/", f"{tmp_path}/").replace("5000", str(port)).replace("0.0.0.0", "127.0.0.1")

    command = [sys.executable, "-m", *found["command"], *map(here, found["args"])]
    variables = {name: here(value) for name, value in environment(found).items()} | {"HOME": str(tmp_path)}
    server = subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], **variables}, cwd=tmp_path, start_new_session=True
    )
    try:
        while status(port, "/health", "10.0.0.1") != 200:
            assert server.poll() is None, "the server has ended"
            time.sleep(0.5)
        create = json.dumps({"name": "trial"}).encode()
        assert status(port, "/api/2.0/mlflow/experiments/create", "evil.example.com", create) == 403
        host = f"nf-nashflow-mlflow.team.svc:{port}"
        assert status(port, "/api/2.0/mlflow/experiments/create", host, create) == 200
        assert status(port, "/api/2.0/mlflow/experiments/get-by-name?experiment_name=trial", host) == 200
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def status(port: int, path: str, host: str, data: bytes | None = None) -> int:
    """The HTTP status of a request under a host name; 0 when nobody answers."""
    headers = {"Host": host, "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers, data=data)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


# --- the judge -------------------------------------------------------------------------------------------------------


def test_the_judge_serves_a_folder_of_the_model_cache() -> None:
    objects = render(
        {"judge": JUDGE | {"servedModelName": "j", "maxModelLength": 4096, "extraArgs": ["--dtype=float16"]}}
    )
    found = container(objects, "judge")
    assert found["command"] == ["vllm", "serve", "/models/judge-7b"]
    assert {"--served-model-name=j", "--max-model-len=4096", "--dtype=float16"} <= set(found["args"])
    models = mounts(objects, "judge")["/models"]
    claim = only(objects, "PersistentVolumeClaim", "nashflow-models")["metadata"]["name"]
    assert models["persistentVolumeClaim"]["claimName"] == claim
    assert models["readOnly"] is True
    assert models["persistentVolumeClaim"]["readOnly"] is True
    assert environment(found)["HF_HUB_OFFLINE"] == "1"


def test_recipes_ask_the_judge_as_the_notes_say(tmp_path: Path) -> None:
    values = {"judge": JUDGE | {"apiKey": {"secretName": "judge-key"}}}
    notes = chart().render(values, name="nf", namespace="team")["nashflow/templates/NOTES.txt"]
    said = notes.partition("In recipes:\n")[2].partition("\n\n")[0]
    recipe = tmp_path / "judged.yaml"
    recipe.write_text(f"extends: inpo-llama3-8b\n{textwrap.dedent(said)}")
    loaded = load_recipe(str(recipe))
    assert isinstance(loaded.oracle, LLMJudge)
    assert loaded.oracle.endpoint.url == "http://nf-nashflow-judge.team.svc:8000/v1"
    (secret,) = loaded.cluster.secrets
    assert (secret.name, secret.keys) == ("judge-key", {"api-key": loaded.oracle.endpoint.api_key_variable})


def test_workers_of_the_judge_share_memory() -> None:
    shared = mounts(render({"judge": JUDGE | {"sharedMemory": "32Gi"}}), "judge")["/dev/shm"]
    assert shared["emptyDir"] == {"medium": "Memory", "sizeLimit": "32Gi"}


@pytest.mark.parametrize(("gpus", "resource"), [(0, "nvidia.com/gpu"), (1, "nvidia.com/gpu"), (4, "amd.com/gpu")])
def test_the_judge_goes_where_its_gpus_are_and_compiles_nothing_on_cpus(gpus: int, resource: str) -> None:
    own = {"key": "team", "operator": "Exists"}
    objects = render({"judge": JUDGE | {"gpus": gpus, "gpuResource": resource, "tolerations": [own]}})
    assert ("--enforce-eager" in container(objects, "judge")["args"]) == (gpus == 0)
    taint = {"key": resource, "operator": "Exists", "effect": "NoSchedule"}
    spec = only(objects, "Deployment", "judge")["spec"]["template"]["spec"]
    assert spec["tolerations"] == [own, *([taint] if gpus else [])]


@pytest.mark.parametrize(
    ("judge", "modes", "refused"),
    [
        ({"replicas": 2}, ["ReadWriteOnce"], 2),
        ({"autoscaling": {"enabled": True, "maxReplicas": 3}}, ["ReadWriteOncePod"], 3),
        ({"replicas": 2}, ["ReadWriteOnce", "ReadOnlyMany"], 0),
        ({"replicas": 1}, ["ReadWriteOnce"], 0),
    ],
)
def test_replicas_on_several_nodes_need_a_volume_for_several_nodes(judge: Values, modes: list, refused: int) -> None:
    values = {"judge": JUDGE | judge, "models": {"accessModes": modes}}
    if refused:
        with pytest.raises(HelmRenderError, match=rf"models\.accessModes: {modes[0]} is .* {refused} replicas: set"):
            render(values)
    assert render(values if not refused else merged(values, {"models": {"create": False}}))


@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_the_model_is_split_over_the_gpus(gpus: int) -> None:
    resources = {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}}
    values = {"judge": JUDGE | {"gpus": gpus, "gpuResource": "amd.com/gpu", "resources": resources}}
    found = container(render(values), "judge")
    split = [argument for argument in found["args"] if argument.startswith("--tensor-parallel-size")]
    assert split == ([f"--tensor-parallel-size={gpus}"] if gpus > 1 else [])
    for kind, asked in resources.items():
        assert found["resources"][kind] == asked | ({"amd.com/gpu": str(gpus)} if gpus else {})


def test_a_model_has_its_time_to_load() -> None:
    objects = render({"judge": JUDGE | {"startupSeconds": 3605}})
    probe = container(objects, "judge")["startupProbe"]
    assert 3605 <= probe["failureThreshold"] * probe["periodSeconds"] < 3615
    assert only(objects, "Deployment", "judge")["spec"]["progressDeadlineSeconds"] > 3605


def test_an_upgrade_of_the_judge_needs_no_gpu_more() -> None:
    strategy = only(render({"judge": JUDGE}), "Deployment", "judge")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


@pytest.mark.parametrize(
    ("scaling", "metric"),
    [
        (
            {"metricTarget": 2.5},
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "vllm_num_requests_waiting"},
                    "target": {"type": "AverageValue", "averageValue": "2.5"},
                },
            },
        ),
        (
            {"metricName": "", "cpuTarget": 60},
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
            },
        ),
    ],
)
def test_the_judge_scales(scaling: Values, metric: Values) -> None:
    own = {"enabled": True, "minReplicas": 2, "maxReplicas": 5}
    spec = only(render({"judge": JUDGE | {"autoscaling": own | scaling}}), "HorizontalPodAutoscaler")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"], spec["metrics"]) == (2, 5, [metric])


def test_the_judge_cannot_have_fewer_replicas_at_most_than_at_least() -> None:
    own = {"enabled": True, "minReplicas": 3, "maxReplicas": 2}
    with pytest.raises(HelmRenderError, match=r"judge\.autoscaling: maxReplicas is 2, fewer than minReplicas, 3"):
        render({"judge": JUDGE | {"autoscaling": own}})


# --- what steps find -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("http://nf-nashflow-mlflow.team.svc:5000", "", "us-east-1", "when_supported")),
        (
            {"mlflow": {"enabled": False, "trackingUri": "https://m.example.com"}},
            ("https://m.example.com", "", "us-east-1", "when_supported"),
        ),
        (
            {
                "mlflow": {"enabled": False},
                "s3": {"endpoint": "http://minio:9000", "region": "eu-1", "checksums": "when_required"},
            },
            ("", "http://minio:9000", "eu-1", "when_required"),
        ),
    ],
)
def test_the_environment_always_has_all_its_keys(values: Values, expected: tuple[str, str, str, str]) -> None:
    data = only(render(values), "ConfigMap", "nashflow-env")["data"]
    keys = ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", *CHECKSUMS)
    assert data == dict(zip(keys, (*expected, expected[-1]), strict=True))


def test_shipped_recipes_take_from_the_environment_only_what_is_there() -> None:
    """A pod that takes a variable from a missing key does not start."""
    data = {found["metadata"]["name"]: found["data"] for found in of_kind(render(), "ConfigMap")}
    taken = {
        (source.name, key)
        for path in SHIPPED.glob("*.yaml")
        for source in load_recipe(path.stem).cluster.config_maps
        for key in source.keys
    }
    assert taken
    assert {(name, key) for name, key in taken if key not in data[name]} == set()


def test_an_empty_address_is_none_for_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a")
    there = {"AWS_ENDPOINT_URL": "", "AWS_DEFAULT_REGION": "us-east-1", **dict.fromkeys(CHECKSUMS, "when_supported")}
    for name, value in there.items():
        monkeypatch.setenv(name, value)
    assert boto3.session.Session().client("s3").meta.endpoint_url == "https://s3.amazonaws.com"


def test_the_tracking_address_is_the_servers() -> None:
    objects = render(namespace="other")
    uri = only(objects, "ConfigMap", "nashflow-env")["data"]["MLFLOW_TRACKING_URI"]
    service = only(objects, "Service", "mlflow")
    assert uri == f"http://{service['metadata']['name']}.other.svc:{service['spec']['ports'][0]['port']}"


def launcher(**s3: Any) -> tuple[str, Object]:
    values = {"s3": s3, "kfp": {"launcher": {"create": True, "pipelineRoot": "s3://b/p", "overrides": [OVERRIDE]}}}
    data = only(render(values), "ConfigMap", "kfp-launcher")["data"]
    return data["defaultPipelineRoot"], yaml.safe_load(data["providers"])["s3"]


def test_kfps_launcher_finds_the_store() -> None:
    """The keys of KFP 2.17's S3ProviderConfig; the endpoint is host and port, the scheme is apart."""
    root, s3 = launcher(endpoint="http://seaweedfs.kubeflow.svc:9000/", region="eu-1", maxRetries=3)
    assert root == "s3://b/p"
    secret = {"secretName": "nashflow-s3", "accessKeyKey": "AWS_ACCESS_KEY_ID", "secretKeyKey": "AWS_SECRET_ACCESS_KEY"}
    assert s3["default"] == {
        "endpoint": "seaweedfs.kubeflow.svc:9000",
        "disableSSL": True,
        "region": "eu-1",
        "forcePathStyle": True,
        "maxRetries": 3,
        "credentials": {"fromEnv": False, "secretRef": secret},
    }
    other = {"secretName": "other-s3", "accessKeyKey": "id", "secretKeyKey": "key"}
    assert s3["Overrides"] == [
        {
            "bucketName": "other",
            "keyPrefix": "",
            "endpoint": "minio.store:9000",
            "disableSSL": True,
            "credentials": {"fromEnv": False, "secretRef": other},
        }
    ]


def test_kfps_launcher_uses_a_role_of_its_own_on_aws() -> None:
    _, s3 = launcher(credentials={"secretName": ""}, forcePathStyle=False)
    assert s3["default"]["credentials"] == {"fromEnv": True}
    assert (s3["default"]["endpoint"], s3["default"]["disableSSL"]) == ("s3.amazonaws.com", False)
    assert s3["default"]["forcePathStyle"] is False


def test_the_model_cache() -> None:
    claim = only(render({"models": {"claimName": "cache", "size": "2Ti"}}), "PersistentVolumeClaim", "cache")
    assert claim["spec"] == {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "2Ti"}}}
    assert of_kind(render({"models": {"create": False}}), "PersistentVolumeClaim", "models") == []
