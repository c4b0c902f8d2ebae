"""`nashflow cancel`, and how a run is found."""

import pytest

from ..conftest import Call
from ..server import KfpServer


def test_a_run_is_found_by_exactly_its_name(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit()
    (run,) = kfp.runs.values()
    unknown = call("cancel", run.display_name.upper(), "--host", kfp.url)
    assert (unknown.code, "knows no run of this id or name" in unknown.line) == (2, True)
    submit()
    _, other = kfp.runs.values()
    other.display_name = run.display_name = "100% + more"
    several = call("cancel", "100% + more", "--host", kfp.url)
    assert (several.code, f"give an id: {run.run_id}, {other.run_id}" in several.line) == (2, True)


@pytest.mark.parametrize("by", ["run_id", "display_name"])
def test_cancel(submit: Call, call: Call, kfp: KfpServer, by: str) -> None:
    submit()
    (run,) = kfp.runs.values()
    done = call("cancel", getattr(run, by), "--host", kfp.url)
    began, blind, ended = done.out.splitlines()
    again = f"`nashflow wait {run.run_id} --host {kfp.url}`"
    assert (done.code, began) == (0, f"{run.display_name} ({run.run_id}): being cancelled")
    assert f"its end is not recorded there; with the store's keys {again} does it" in blind
    assert ended == f"{run.display_name}: cancelled"
    assert [entry.state for entry in run.state_history][-2:] == ["CANCELING", "FAILED"]
    refused = call("cancel", run.run_id, "--host", kfp.url)
    assert (refused.code, refused.line) == (2, f"nashflow: {run.display_name}: has ended already (cancelled)")
