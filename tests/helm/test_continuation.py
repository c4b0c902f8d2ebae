"""A chain of runs: what the step that submits the next one needs of the chart."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.recipe import load_recipe
from tests.helm.rendering import of_kind, only, render


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What kfp-kubernetes says of the step that continues a chain."""
    package: Path = tmp_path_factory.mktemp("chain") / "pipeline.yaml"
    compile_graph(load_recipe("quickstart", ["cluster.iterations_per_run=1", "run.iterations=2"]), package)
    _, platform = yaml.safe_load_all(package.read_text())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    (found,) = [spec for name, spec in executors.items() if "continuation" in name]
    return found


def test_the_pod_default_is_for_the_pods_that_ask_for_it(chained: dict[str, Any]) -> None:
    spec = only(render({"kfp": {"podDefault": {"create": True}}}), "PodDefault", "access-ml-pipeline")["spec"]
    assert spec["selector"] == {"matchLabels": {"access-ml-pipeline": "true"}}
    assert spec["selector"]["matchLabels"].items() <= chained["podMetadata"]["labels"].items()


def test_its_token_is_kfps_and_lies_where_kfps_client_looks() -> None:
    import kfp.client

    spec = only(render({"kfp": {"podDefault": {"create": True}}}), "PodDefault")["spec"]
    (mount,), (volume,) = spec["volumeMounts"], spec["volumes"]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    (source,) = volume["projected"]["sources"]
    token = source["serviceAccountToken"]
    assert token == {"audience": "pipelines.kubeflow.org", "expirationSeconds": 7200, "path": "token"}
    assert f"{mount['mountPath']}/{token['path']}" == kfp.client.KF_PIPELINES_SA_TOKEN_PATH
    assert spec["env"] == [{"name": "KF_PIPELINES_SA_TOKEN_PATH", "value": kfp.client.KF_PIPELINES_SA_TOKEN_PATH}]


def test_kubeflow_has_its_own_unless_it_is_asked_for() -> None:
    assert of_kind(render(), "PodDefault") == []


def test_the_environment_names_the_api_server() -> None:
    data = only(render({"kfp": {"host": "http://kfp.example.com"}}), "ConfigMap", "nashflow-env")["data"]
    assert data["KF_PIPELINES_ENDPOINT"] == "http://kfp.example.com"
