"""`nashflow human`: comparisons out of a run root, verdicts into it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.base import Query
from nashflow.components.oracles.human.settings import Human
from nashflow.components.oracles.unanswered import Unanswered
from nashflow.components.storage import layout
from nashflow.pipelines.human.commands import app
from nashflow.pipelines.human.exchange import export_open, import_verdicts
from tests.fixtures.people import answered, questions
from tests.fixtures.runs import SandboxRun, snapshot

QUERIES = [Query([{"role": "user", "content": f"x{number}"}], "a b", "c d") for number in range(4)]


def ask(run: SandboxRun, *queries: Query, annotators: int = 1, name: str = "judging-001-main-00000") -> str:
    """Ask people, as a step does."""
    with pytest.raises(Unanswered) as caught:
        Human(annotators=annotators).load(run.store).compare(queries)
    return caught.value.export(run.store, name, caught.value.questions)


def rows(run: SandboxRun, folder: Path) -> list[dict[str, Any]]:
    export_open(run.root, folder)
    return questions(folder / "comparisons.jsonl")


def test_an_export_lies_under_the_run_root_and_says_how_to_go_on(prepared: SandboxRun) -> None:
    line = ask(prepared, *QUERIES)
    (page,) = Path(prepared.root).glob("human/exports/judging-001-main-00000-*.html")
    assert line == (
        f"comparisons that lack people's verdicts: 4: open {page}, or what `nashflow human export {prepared.root}` "
        f"writes, and hand in what it saves with `nashflow human import {prepared.root} FILE`"
    )
    before = snapshot(prepared.root)
    assert ask(prepared, *QUERIES) == line
    assert snapshot(prepared.root).keys() == before.keys()
    said = [row["messages"][0]["content"] for row in questions(page.with_suffix(".jsonl"))]
    assert said == ["x0", "x1", "x2", "x3"]


def test_all_shards_are_exported_as_one_until_they_are_answered(prepared: SandboxRun, tmp_path: Path) -> None:
    ask(prepared, *QUERIES[:2])
    ask(prepared, *QUERIES[2:], name="judging-001-main-00001")
    asked = rows(prepared, tmp_path / "new")
    assert [row["messages"][0]["content"] for row in asked] == ["x0", "x1", "x2", "x3"]
    assert "x3" in (tmp_path / "new/comparisons.html").read_text()
    taken = import_verdicts(prepared.root, [answered(asked[:3], tmp_path / "v.jsonl")])
    assert str(taken) == "verdicts taken: 3; comparisons that lack people's verdicts: 1"
    assert rows(prepared, tmp_path / "new") == asked[3:]
    taken = import_verdicts(prepared.root, [answered(asked[3:], tmp_path / "v.jsonl")])
    assert str(taken) == "verdicts taken: 1; none is lacking: start the run again"
    assert export_open(prepared.root, tmp_path) == "no comparison lacks a verdict: start the run again"
    assert len(Human().load(prepared.store).compare(QUERIES)) == 4


def test_several_annotators_are_waited_for_and_agree_or_not(prepared: SandboxRun, tmp_path: Path) -> None:
    ask(prepared, *QUERIES, annotators=2)
    asked = rows(prepared, tmp_path)
    first = import_verdicts(prepared.root, [answered(asked, tmp_path / "v.jsonl", "ann", lambda _: "a")])
    assert first.left == "comparisons that lack people's verdicts: 4, of which 4 have some of the 2 wanted"
    assert [row["judged_by"] for row in rows(prepared, tmp_path)] == [["ann"]] * 4
    words = iter("aaab")
    second = import_verdicts(prepared.root, [answered(asked, tmp_path / "w.jsonl", "bob", lambda _: next(words))])
    assert "agreement 0.75, Krippendorff's α 0.00" in str(second)
    probabilities = sorted(v.probability for v in Human(annotators=2).load(prepared.store).compare(QUERIES))
    assert len([p for p in probabilities if p == 0.5]) == 1


def test_verdicts_that_cannot_be_used_have_a_line_each_and_the_others_are_kept(
    prepared: SandboxRun, tmp_path: Path
) -> None:
    ask(prepared, *QUERIES)
    ids = [row["comparison"] for row in rows(prepared, tmp_path)]
    file = tmp_path / "v.jsonl"
    lines = [
        {"comparison": ids[0], "annotator": "ann", "verdict": "a"},
        {"comparison": "another", "annotator": "ann", "verdict": "a"},
        {"comparison": ids[0], "annotator": "ann", "verdict": "a"},
        {"comparison": ids[0], "annotator": "ann", "verdict": "b"},
        {"comparison": ids[1], "annotator": "ann", "verdict": "perhaps"},
    ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + "{half\n")
    done = CliRunner().invoke(app, ["import", prepared.root, str(file)])
    assert done.exit_code == 2
    assert done.stdout == "verdicts taken: 1; comparisons that lack people's verdicts: 3\n"
    told = done.stderr.splitlines()
    assert told[:3] == [
        f"nashflow: {file}:2: the run has never asked for the comparison another: left out",
        f"nashflow: {file}:3: doubled: the verdict of ann is in {file}:1 already",
        f"nashflow: {file}:4: ann says b of comparison {ids[0]}, and a in {file}:1, which stays",
    ]
    assert told[3].startswith(f"nashflow: {file}:5: verdict: ")
    assert told[4].startswith(f"nashflow: {file}:6: not JSON: ")
    assert len(told) == 5


def test_the_same_file_again_changes_nothing(prepared: SandboxRun, tmp_path: Path) -> None:
    ask(prepared, *QUERIES)
    file = answered(rows(prepared, tmp_path), tmp_path / "v.jsonl")
    assert CliRunner().invoke(app, ["import", prepared.root, str(file)]).exit_code == 0
    before = prepared.store.list(layout.VERDICTS)
    again = import_verdicts(prepared.root, [file])
    assert (again.verdicts, len(again.refused)) == (0, 4)
    assert prepared.store.list(layout.VERDICTS) == before


def test_a_run_that_has_asked_nobody_is_told(prepared: SandboxRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the run small has not asked people for any comparison"):
        export_open(prepared.root, tmp_path)
    with pytest.raises(UserError, match="no run"):
        import_verdicts(str(tmp_path / "nothing"), [])
