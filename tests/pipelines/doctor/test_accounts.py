"""The steps' service account: which it is, and what its pods may do."""

import re
from collections.abc import Callable

import pytest

from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.launcher import secret_of
from tests.pipelines.cluster.server import KfpServer
from tests.pipelines.doctor.cases import RUNNER, look, states, the_failure
from tests.pipelines.kubernetes_server import KubernetesServer


@pytest.mark.parametrize(("several", "account"), [(True, "default-editor"), (False, "pipeline-runner")])
def test_without_an_account_it_is_kubeflows_own(
    case: Callable[..., Case], cluster: KubernetesServer, kfp: KfpServer, several: bool, account: str
) -> None:
    kfp.multi_user = several
    cluster.add("services", "ml-pipeline")
    bare = case("cluster.service_account=''")
    assert f"service account {account} in team" in the_failure(bare, "service account").tried
    cluster.add("serviceaccounts", account)
    assert states(look(bare, "service account")) == ["ok", "ok"]


# --- the launcher's Secret -------------------------------------------------------------------------------------------

CREDENTIALS = "{secretRef: {secretName: %s, accessKeyKey: a, secretKeyKey: b}}"
BY_SECRET = "s3: {default: {credentials: " + CREDENTIALS % "store" + "}}"
WITH_OVERRIDE = (
    "s3: {default: {credentials: {fromEnv: true}}, Overrides: [{bucketName: other, credentials: "
    + CREDENTIALS % "others"
    + "}, {bucketName: bucket, keyPrefix: runs/, credentials: "
    + CREDENTIALS % "runs"
    + "}]}"
)


@pytest.mark.parametrize(
    ("root", "providers", "secret"),
    [
        ("", "", "mlpipeline-minio-artifact"),
        ("minio://mlpipeline/v2", BY_SECRET, "mlpipeline-minio-artifact"),
        ("minio://mlpipeline/v2", BY_SECRET.replace("s3", "minio"), "store"),
        ("s3://bucket/a", "", ""),
        ("s3://bucket/a", BY_SECRET, "store"),
        ("s3://bucket/a?endpoint=x", BY_SECRET, ""),
        ("s3://bucket/a", "s3: {default: {credentials: {fromEnv: true}}}", ""),
        ("s3://bucket/a", WITH_OVERRIDE, ""),
        ("s3://bucket/runs/a", WITH_OVERRIDE, "runs"),
        ("s3://other", WITH_OVERRIDE, "others"),
        ("gs://bucket", "gs: {default: {credentials: {secretRef: {secretName: key, tokenKey: t}}}}", "key"),
    ],
)
def test_the_secret_is_that_of_the_pipeline_roots_provider(root: str, providers: str, secret: str) -> None:
    assert secret_of({"defaultPipelineRoot": root, "providers": providers}) == secret


@pytest.mark.parametrize("root", ["s3://bucket/a", "s3://bucket/runs/a", "s3://other"])
@pytest.mark.parametrize("write", [str.lower, str.upper, str.swapcase])
def test_keys_are_read_without_regard_to_case(root: str, write: Callable[[str], str]) -> None:
    """KFP reads them with sigs.k8s.io/yaml."""
    written = re.sub(r"\w+(?=:)", lambda key: write(key[0]), WITH_OVERRIDE)
    assert written != WITH_OVERRIDE
    secrets = [secret_of({"defaultPipelineRoot": root, "providers": text}) for text in (WITH_OVERRIDE, written)]
    assert secrets[0] == secrets[1]


@pytest.mark.parametrize("providers", ["s3: {default: {}}", "s3: [", "- s3", "s3: {default: {credentials: {}}}"])
def test_what_the_launcher_could_not_read_is_said(
    case: Callable[..., Case], cluster: KubernetesServer, providers: str
) -> None:
    cluster.add("configmaps", "kfp-launcher", data={"defaultPipelineRoot": "s3://bucket", "providers": providers})
    assert "providers.s3 in config map kfp-launcher" in the_failure(case(), "service account").found


@pytest.mark.parametrize("configured", [True, False])
def test_the_runner_reads_the_launchers_secret(
    case: Callable[..., Case], cluster: KubernetesServer, configured: bool
) -> None:
    name = "store" if configured else "mlpipeline-minio-artifact"
    if configured:
        cluster.add("configmaps", "kfp-launcher", data={"defaultPipelineRoot": "s3://bucket", "providers": BY_SECRET})
    cluster.denied[RUNNER] = {f"get secrets/{name}"}
    assert the_failure(case(), "service account").found == f"may not get secrets/{name}"
    cluster.denied[RUNNER] = {"get secrets/another"}
    assert states(look(case(), "service account")) == ["ok", "ok"]


def test_a_launcher_that_may_not_be_looked_at(case: Callable[..., Case], cluster: KubernetesServer) -> None:
    cluster.forbidden.add(".*/configmaps/kfp-launcher")
    found = look(case(), "service account")
    assert states(found) == ["ok", "not tried", "ok"]
    assert "config map kfp-launcher" in found[1].found
