"""Which runs compare: those with one reference, wherever their training started."""

from pathlib import Path

from nashflow.components.reports.reported import differences, read_reported
from tests.components.reports.toy_runs import WON, evaluations, toy_run

ONE, OTHER = "a" * 64, "b" * 64


def test_runs_from_different_policies_compare_if_their_reference_is_one(tmp_path: Path) -> None:
    inputs = {"alone": {"policy": ONE}, "apart": {"policy": OTHER, "reference": ONE}, "other": {"policy": OTHER}}
    for name, digests in inputs.items():
        toy_run(tmp_path / name, evaluations(2, WON), inputs=digests)
    alone, apart, other = (read_reported(str(tmp_path / name)) for name in inputs)
    assert differences(alone, apart) == []
    assert differences(alone, other) == differences(apart, other) == ["other policy (under the same settings)"]
