"""Several users: what the documentation of Kubeflow Pipelines says of tokens, profiles and namespaces."""

from collections.abc import Iterator
from pathlib import Path

import kfp_server_api as api
import pytest

from ..fixtures.seaweedfs import SeaweedFS
from .cluster import Kubeflow, kubeflow
from .server.users import Token, Users
from .toy import pipeline, task


@pytest.fixture
def shared(tmp_path: Path, seaweedfs_server: SeaweedFS) -> Iterator[Kubeflow]:
    users = Users(
        tokens={"ann": Token("ann"), "bob": Token("bob"), "other": Token("ann", "kubernetes.default.svc")},
        profiles={"team": {"ann"}, "bobs": {"bob"}},
    )
    with kubeflow(tmp_path, seaweedfs_server, "team", users) as running:
        yield running


def _client(cluster: Kubeflow, token: str) -> api.ApiClient:
    configuration = api.Configuration(host=cluster.server.url)
    configuration.api_key = {"authorization": token}
    configuration.api_key_prefix = {"authorization": "Bearer"}
    return api.ApiClient(configuration)


def _status(cluster: Kubeflow, token: str, namespace: str | None) -> int:
    service = api.RunServiceApi(_client(cluster, token))
    try:
        service.run_service_list_runs(**({"namespace": namespace} if namespace else {}))
    except api.ApiException as error:
        return error.status  # type: ignore[no-any-return]
    return 200


@pytest.mark.parametrize(
    ("token", "namespace", "status"),
    [
        ("ann", "team", 200),
        ("ann", "bobs", 403),
        ("ann", None, 400),
        ("bob", "team", 403),
        ("nobody", "team", 401),
        ("other", "team", 401),
    ],
)
def test_who_may_list(token: str, namespace: str | None, status: int, shared: Kubeflow) -> None:
    assert _status(shared, token, namespace) == status


def test_runs_are_of_their_namespace(shared: Kubeflow) -> None:
    run = shared.submit(pipeline({"only": task("true")}), None, {})
    assert run.service_account == "default-editor"
    assert shared.server.workflows[run.run_id].manifest["metadata"]["namespace"] == "team"
    mine = api.RunServiceApi(_client(shared, "ann")).run_service_list_runs(namespace="team")
    assert [listed.run_id for listed in mine.runs] == [run.run_id]
    assert api.RunServiceApi(_client(shared, "bob")).run_service_list_runs(namespace="bobs").runs is None
    with pytest.raises(api.ApiException) as refused:
        api.RunServiceApi(_client(shared, "bob")).run_service_get_run(run.run_id)
    assert refused.value.status == 403
    shared.ended(run)
