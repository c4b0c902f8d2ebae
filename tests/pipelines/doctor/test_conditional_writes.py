"""What `nashflow doctor` says of a store that does not keep the condition of a write."""

from collections.abc import Callable
from typing import Any

import pytest

from nashflow.components.storage.store import open_store
from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.examination import CHECKS, examine
from nashflow.pipelines.doctor.finding import Finding
from tests.fixtures.s3 import S3Server

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]
Change = Callable[[str, Application], Application]


def look(bucket: str) -> list[Finding]:
    case = Case(None, Access(), run_root=f"{bucket}/runs/{{job}}")
    return list(examine(case, tuple(name for name in CHECKS if name != "object store")))


def ignored(header: str, moto: Application) -> Application:
    return lambda environ, start: moto({name: environ[name] for name in environ if name != header}, start)


def answered(status: str, code: str) -> Change:
    """An answer of its own to each write on this condition: downloads in parts have one too."""

    def change(header: str, moto: Application) -> Application:
        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            if header not in environ or environ["REQUEST_METHOD"] != "PUT":
                return moto(environ, start_response)
            start_response(status, [])
            return [f"<Error><Code>{code}</Code></Error>".encode()]

        return answer

    return change


never_met = answered("412 Precondition Failed", "PreconditionFailed")
refused = answered("501 Not Implemented", "NotImplemented")


@pytest.mark.parametrize(
    ("change", "found"), [(ignored, "both of them win in 10 of 10 races"), (never_met, "none of them may write")]
)
def test_a_store_that_does_not_keep_the_condition_fails(
    change: Change, found: str, s3_bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_server, "_moto", change("HTTP_IF_NONE_MATCH", s3_server._moto))
    findings = look(s3_bucket)
    (odd,) = [finding for finding in findings if finding.state != "ok"]
    assert (odd.tried, odd.state, odd.found) == ("If-None-Match with two writers at once", "failed", found)
    assert "two runs could take one run root" in odd.advice
    assert len(findings) == 4
    assert open_store(s3_bucket).list() == []


def test_a_store_that_refuses_what_is_needed_fails(
    s3_bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_server, "_moto", refused("HTTP_IF_NONE_MATCH", s3_server._moto))
    assert [finding.state for finding in look(s3_bucket)] == ["ok", "failed", "ok"]


def test_the_store_of_kubeflow_pipelines_is_fit(seaweedfs_prefix: str) -> None:
    findings = look(seaweedfs_prefix)
    assert "failed" not in [finding.state for finding in findings]
    assert findings[1] == Finding("object store", "ok", "If-None-Match with two writers at once", "one of them wins")
    assert open_store(seaweedfs_prefix).list() == []
