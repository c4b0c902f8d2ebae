"""The command `nashflow doctor`."""

import json
from collections.abc import Callable, Iterator

import pytest

from nashflow.components.core.errors import UserError
from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.examination import CHECKS, examine
from nashflow.pipelines.doctor.finding import Finding
from tests.pipelines.cluster.server import KfpServer
from tests.pipelines.doctor.cases import IMAGES, look
from tests.pipelines.kubernetes_server import KubernetesServer

Call = Callable[..., tuple[int, str, str]]


def test_the_command_says_all_and_exits_with_the_result(call: Call, cluster: KubernetesServer, kfp: KfpServer) -> None:
    where = ["inpo-llama3-8b", "--host", kfp.url, "--namespace", "team", "--skip", "object store", "--skip", "engines"]
    for override in IMAGES:
        where += ["--set", override]
    code, out, err = call("doctor", *where)
    assert (code, err) == (0, "")
    assert "not needed" in out
    cluster.objects["secrets"].clear()
    code, out, _ = call("doctor", *where)
    assert code == 1
    assert "1 failed" in out
    assert "→ kubectl create secret generic nashflow-s3" in out
    code, out, _ = call("doctor", *where, "--json")
    told = json.loads(out)
    assert (code, told["ok"]) == (1, False)
    (failed,) = (each for each in told["findings"] if each["state"] == "failed")
    assert failed.keys() == {"check", "state", "tried", "found", "advice"}


@pytest.mark.parametrize("as_json", [True, False])
def test_what_was_not_tried_is_a_failure_if_asked(call: Call, as_json: bool) -> None:
    skipped = (name for name in CHECKS if name not in ("judge", "object store"))
    options = [part for name in skipped for part in ("--skip", name)] + (["--json"] if as_json else [])
    code, out, _ = call("doctor", "quickstart", *options)
    assert code == 0
    assert "not tried" in out
    code, out, _ = call("doctor", "quickstart", *options, "--strict")
    assert code == 1
    assert not as_json or json.loads(out)["ok"] is False
    assert call("doctor", "quickstart", "--strict", *options, "--skip", "object store")[0] == 0


def test_a_service_that_is_away_is_for_the_user_to_mend(case: Callable[..., Case], kfp: KfpServer) -> None:
    kfp.stop()
    (failure,) = look(case(), "Kubeflow")
    assert (
        failure.advice == "fix what the line names, and run the check again; to leave the check out: --skip 'Kubeflow'"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("inpo-llama3-9b",), "no such recipe"),
        (("quickstart", "--skip", "node"), "--skip node: no such check; did you mean nodes?"),
        (("quickstart", "--set", "cluster.profile=gpu"), "cluster.profile"),
    ],
)
def test_bad_input_is_one_line(call: Call, arguments: tuple[str, ...], line: str) -> None:
    code, out, err = call("doctor", *arguments)
    assert (code, out) == (2, "")
    assert line in err
    assert len(err.splitlines()) == 1


def test_a_check_that_breaks_stops_no_other(case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(case: Case) -> Iterator[Finding]:
        yield Finding("secrets", "ok", "one")
        raise KeyError("a mistake of ours with https://joe:hunter2@host")

    monkeypatch.setitem(CHECKS, "secrets", broken)  # type: ignore[arg-type]
    found = look(case(), "secrets", "config maps")
    assert [each.state for each in found] == ["ok", "failed", "ok"]
    assert "KeyError: 'a mistake of ours" in found[1].found
    assert (
        found[1].advice
        == "this check has a mistake: report it with this line; to leave the check out: --skip 'secrets'"
    )
    assert "hunter2" not in found[1].found


def test_only_known_checks_are_skipped(case: Callable[..., Case]) -> None:
    with pytest.raises(UserError, match="no such check"):
        examine(case(), ("nothing",))
