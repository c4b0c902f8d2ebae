"""A run root from Python: the tables against the records that they are made of, wherever the run lies."""

import dataclasses
import json
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.base import Query
from nashflow.components.storage.store import open_store
from nashflow.pipelines.run_root import RunRoot, open_run
from tests.fixtures.runs import SandboxRun, copy_files


@pytest.fixture(scope="module")
def opened(finished_root: SandboxRun) -> RunRoot:
    return open_run(finished_root.root)


def texts_of(run: SandboxRun, iteration: int) -> dict[tuple[int, int], str]:
    return {(row["row_id"], row["sample"]): row["text"] for row in run.content("rollouts", iteration)}


@pytest.mark.parametrize("iteration", [1, 2])
def test_tables_are_the_records_with_their_texts(finished_root: SandboxRun, opened: RunRoot, iteration: int) -> None:
    texts = texts_of(finished_root, iteration)
    messages = {row["row_id"]: row["messages"] for row in finished_root.content("prompts", iteration)}
    for kind, table, columns in (
        ("prompts", opened.prompts(iteration), ()),
        ("rollouts", opened.responses(iteration), ()),
        ("comparisons", opened.comparisons(iteration), ("first", "second")),
        ("pairs", opened.pairs(iteration), ("chosen", "rejected")),
    ):
        expected = [
            row
            | {"messages": messages[row["row_id"]]}
            | {f"{column}_text": texts[row["row_id"], row[column]] for column in columns}
            for row in finished_root.content(kind, iteration)
        ]
        assert expected
        assert table.to_pylist() == expected


def test_a_table_has_all_shards(finished: SandboxRun, opened: RunRoot) -> None:
    """Two shards that are the same one, told apart by nothing."""
    recipe = json.loads(json.dumps(opened.recipe))
    recipe["prompts"]["shards"] = 2
    for unit in ("prompts", "main/rollouts", "main/pairs"):
        key = f"iterations/001/{unit}/0000"
        finished.store.write(f"{key}1.manifest.json", finished.store.read(f"{key}0.manifest.json"))
    both = RunRoot(finished.store, dataclasses.replace(opened.run, recipe=recipe))
    assert both.pairs(1).to_pylist() == opened.pairs(1).to_pylist() * 2


def test_a_phase_that_uses_anothers_data_has_them(finished: SandboxRun, opened: RunRoot) -> None:
    expected = opened.pairs(1).to_pylist()
    recipe = {**opened.recipe, "method": {"name": "onpo", "eta": 0.5}}
    for kind in ("rollouts", "pairs"):
        key = f"{kind}/00000.manifest.json"
        finished.store.write(f"iterations/001/auxiliary/{key}", finished.store.read(f"iterations/001/main/{key}"))
        finished.store.delete(f"iterations/001/main/{key}")
    run = RunRoot(finished.store, dataclasses.replace(opened.run, recipe=recipe))
    assert run.pairs(1).to_pylist() == run.pairs(1, "auxiliary").to_pylist() == expected


def test_pandas_takes_a_table(opened: RunRoot) -> None:
    frame = opened.pairs(1).to_pandas()
    assert list(frame["chosen_text"]) == opened.pairs(1)["chosen_text"].to_pylist()
    assert frame["messages"][0][0]["role"] == "user"


def test_what_a_run_is(finished_root: SandboxRun, opened: RunRoot) -> None:
    assert opened.iterations == 2
    assert opened.method == finished_root.recipe.method
    assert [row["iteration"] for row in opened.summary()["iterations"]] == [0, 1, 2]
    assert opened.held_out().num_rows == 32
    assert opened.policy(2) == finished_root.folder("002/main")
    query = Query([{"role": "user", "content": "x0"}], "a a", "b b")
    assert opened.oracle().compare([query]) == finished_root.recipe.oracle.load().compare([query])


def test_a_run_in_s3(
    finished_root: SandboxRun, opened: RunRoot, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASHFLOW_CACHE", str(tmp_path))
    store = open_store(f"{s3_bucket}/runs/small")
    store.write("run.json", finished_root.store.read("run.json"))
    for folder in ("iterations/002", "policies/001"):
        copy_files(finished_root.store, store, folder)
    remote = open_run(store.uri)
    assert remote.comparisons(2).equals(opened.comparisons(2))
    folder = remote.policy(1)
    assert folder.is_relative_to(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in opened.policy(1).iterdir()
    }


def test_a_run_under_way_is_read_as_far_as_it_is(prepared: SandboxRun, opened: RunRoot) -> None:
    copy_files(opened.store, prepared.store, "iterations/001/main")
    run = open_run(Path(prepared.root))
    assert run.pairs(1).num_rows == opened.pairs(1).num_rows
    with pytest.raises(UserError, match="iterations/002/main/pairs/00000: not there yet"):
        run.pairs(2)
    with pytest.raises(UserError, match="policies/001/main: not there yet"):
        run.policy(1)


@pytest.mark.parametrize(("iteration", "phase"), [(0, "main"), (3, "main"), (1, "mian")])
def test_what_a_run_does_not_have(opened: RunRoot, iteration: int, phase: str) -> None:
    wanted = "did you mean main?" if phase != "main" else f"iteration {iteration}: .* has 1 to 2"
    for read in (opened.pairs, opened.comparisons, opened.responses):
        with pytest.raises(UserError, match=wanted):
            read(iteration, phase)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run here"):
        open_run(tmp_path)
