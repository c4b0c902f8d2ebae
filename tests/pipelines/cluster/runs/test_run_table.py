"""`nashflow runs`: what became of runs, by their run roots where they can be read, by KFP's answers otherwise."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.storage.store import open_store
from nashflow.pipelines.cluster.runs import run_table

from ..conftest import Call, Done, begun
from ..run_roots import Root
from ..server import BEGINNING, KfpServer, Snapshot, node

COLUMNS = ("name", "outcome", "method", "T", "result", "created", "duration", "run root", "link")


@pytest.fixture
def table(call: Call, kfp: KfpServer) -> Callable[..., list[dict[str, str]]]:
    """The rows of `nashflow runs`, each by its columns' names."""

    def run(*options: Any, done: list[Done] | None = None) -> list[dict[str, str]]:
        listed = call("runs", "--host", kfp.url, *options)
        assert listed.code == 0
        if done is not None:
            done.append(listed)
        head, *rows = [line for line in listed.out.splitlines() if line.strip(" ─")]
        starts = [head.index(f" {column} ") for column in COLUMNS]
        ends = [*starts[1:], None]
        return [
            {column: row[start:end].strip() for column, start, end in zip(COLUMNS, starts, ends, strict=True)}
            for row in rows
        ]

    return run


def at(kfp: KfpServer, run: Any, state: str, nodes: list[Any] | None = None) -> Any:
    """Take a run to a state at once."""
    kfp.script = []
    kfp.advance(run, Snapshot(state, nodes or []))
    return run


def test_the_newest_runs_come_first(table: Callable[..., Any], kfp: KfpServer) -> None:
    first, second, third, fourth = (begun(kfp) for _ in range(4))
    at(kfp, third, "SUCCEEDED")
    rows = table("--limit", 3)
    assert [row["name"] for row in rows] == [run.display_name for run in (fourth, third, second)]
    assert rows[1] == {
        "name": third.display_name,
        "outcome": "succeeded",
        "method": "",
        "T": "",
        "result": "",
        "created": f"{third.created_at:%Y-%m-%d %H:%M:%S}",
        "duration": "2 min 5 s",
        "run root": "",
        "link": f"{kfp.url}/#/runs/details/{third.run_id}",
    }
    assert rows[0]["outcome"] == "pending"
    assert first.display_name not in str(rows)


def test_runs_of_one_experiment(submit: Call, call: Call, kfp: KfpServer) -> None:
    submit("--experiment", "a")
    submit("--experiment", "b")
    (run, _) = kfp.runs.values()
    out = call("runs", "--experiment", "a", "--host", kfp.url).out
    assert [line.split()[0] for line in out.splitlines() if "quickstart" in line] == [run.display_name]
    refused = call("runs", "--experiment", "c", "--host", kfp.url)
    assert (refused.code, "--experiment c: " in refused.line) == (2, True)


def test_a_run_is_told_by_its_run_root(table: Callable[..., Any], kfp: KfpServer, tmp_path: Path) -> None:
    """Method, T, gap or win rate; a run that is at work has no result, though an earlier one under its root had."""
    roots = [Root(tmp_path / str(number), BEGINNING, f"run.iterations={number + 2}") for number in range(3)]
    gap, rate, running = (begun(kfp, root.store.uri) for root in roots)
    for root in roots:
        root.prepare()
    roots[0].report(duality_gap=0.05714, win_rate=0.6)
    roots[1].report(duality_gap=None, win_rate=0.6125)
    roots[2].report(duality_gap=0.1, win_rate=0.5)
    at(kfp, gap, "SUCCEEDED")
    at(kfp, rate, "SUCCEEDED")
    at(kfp, running, "RUNNING")
    rows = {row["name"]: row for row in table()}
    told = [
        [rows[run.display_name][column] for column in ("outcome", "method", "T", "result", "run root")]
        for run in (gap, rate, running)
    ]
    assert told == [
        ["succeeded", "inpo", "2", "gap 0.05714", roots[0].store.uri],
        ["succeeded", "inpo", "3", "win rate 0.613", roots[1].store.uri],
        ["running", "inpo", "4", "", roots[2].store.uri],
    ]


def test_outcomes_are_in_our_words(table: Callable[..., Any], kfp: KfpServer, tmp_path: Path) -> None:
    def run(state: str, outcome: str = "", reason: str = "", nodes: list[Any] | None = None) -> Any:
        folder = tmp_path / str(len(kfp.runs))
        made = begun(kfp, str(folder))
        if outcome:
            Root(folder, BEGINNING).end(made.run_id, outcome, reason)
        return at(kfp, made, state, nodes)

    nothing_followed = [node("preparation", seconds=5), node("closing", start=9, seconds=5)]
    cancelled, going = run("RUNNING"), run("RUNNING")
    for made in (cancelled, going):
        kfp._terminate(made.run_id, b"")
    expected = {
        run("SUCCEEDED", "succeeded").display_name: "succeeded",
        run("FAILED", "failed").display_name: "failed",
        run("FAILED", "cancelled").display_name: "cancelled",
        run("FAILED", "pending", "for people").display_name: "pending: for people",
        run("SUCCEEDED", "skipped", "3 of 84 prompts are new").display_name: "skipped: 3 of 84 prompts are new",
        run("SUCCEEDED", nodes=nothing_followed).display_name: "skipped: no new prompts",
        run("RUNNING").display_name: "running",
        at(kfp, cancelled, "FAILED").display_name: "cancelled",
        going.display_name: "being cancelled",
    }
    assert {row["name"]: row["outcome"] for row in table()} == expected


def test_a_run_that_shares_its_run_root_is_not_told_by_anothers_outcome(
    table: Callable[..., Any], kfp: KfpServer, tmp_path: Path
) -> None:
    """A retry goes on under the same run root, whose outcome is the last one's."""
    first, again = begun(kfp, str(tmp_path / "root")), begun(kfp, str(tmp_path / "root"))
    Root(tmp_path / "root", BEGINNING).end(again.run_id, "cancelled")
    at(kfp, first, "FAILED")
    at(kfp, again, "FAILED")
    assert [row["outcome"] for row in table()] == ["cancelled", "failed"]


def test_the_run_roots_of_a_bucket_are_read_with_the_users_keys(
    table: Callable[..., Any], kfp: KfpServer, s3_bucket: str, tmp_path: Path
) -> None:
    for _ in range(5):
        run = begun(kfp, s3_bucket + "/all/{job}")
        root = Root(tmp_path, BEGINNING)
        root.store = open_store(f"{s3_bucket}/all/{run.run_id}")
        root.prepare()
        root.end(run.run_id, "skipped", "no new prompts")
        at(kfp, run, "SUCCEEDED")
    done: list[Done] = []
    rows = table(done=done)
    assert done[0].err == ""
    assert {(row["outcome"], row["method"], row["T"]) for row in rows} == {("skipped: no new prompts", "inpo", "3")}


def test_without_keys_the_listing_is_kfps_and_one_line_says_so(table: Callable[..., Any], kfp: KfpServer) -> None:
    for _ in range(3):
        at(kfp, begun(kfp, "s3://bucket/{job}"), "SUCCEEDED")
    done: list[Done] = []
    rows = table(done=done)
    assert {row["outcome"] for row in rows} == {"succeeded"}
    assert "3 of 3 run roots cannot be read: no credentials" in done[0].line
    assert done[0].line.endswith("the other columns come from KFP")


def test_a_store_that_does_not_answer_holds_the_listing_up_for_seconds_only(
    table: Callable[..., Any], kfp: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_table, "_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "key")
        for number in range(20):
            begun(kfp, f"s3://bucket/{number}")
        done: list[Done] = []
        rows = table(done=done)
    assert len(rows) == 20
    assert "no answer in 0.5 s" in done[0].line


def test_a_damaged_run_root_spoils_its_own_row_alone(table: Callable[..., Any], kfp: KfpServer, tmp_path: Path) -> None:
    sound, damaged = Root(tmp_path / "sound", BEGINNING), Root(tmp_path / "damaged", BEGINNING)
    sound.prepare()
    damaged.store.write("run.json", b"[]")
    begun(kfp, damaged.store.uri)
    begun(kfp, sound.store.uri)
    done: list[Done] = []
    assert [row["method"] for row in table(done=done)] == ["inpo", ""]
    assert "1 of 2 run roots cannot be read" in done[0].line


def test_what_others_have_written_is_shown_as_it_is(table: Callable[..., Any], kfp: KfpServer) -> None:
    begun(kfp, display_name="[red]100%[/red]")
    assert table()[0]["name"] == "[red]100%[/red]"
