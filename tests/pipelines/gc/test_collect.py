"""What `nashflow gc` says, and what it refuses."""

from pathlib import Path

import pytest
import typer

from nashflow.components.core.errors import UserError
from nashflow.components.runtime import lock
from nashflow.components.runtime.ledger import Ledger
from nashflow.components.storage.store import open_store
from nashflow.pipelines import cli
from nashflow.pipelines.commands import app
from nashflow.pipelines.costs_table import amount
from nashflow.pipelines.gc.collect import seconds
from tests.pipelines.gc.runs import DAY, OLD, YOUNG, a_run, aged, assert_whole, clean, files, names


def test_a_dry_run_says_what_would_go_and_touches_nothing(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = a_run(prefix, "old", inputs={"policy": "gone"})
    a_run(prefix, "young", YOUNG)
    open_store(str(prefix)).write("cache/references/gone/x/config.json", b"{}")
    aged(prefix / "cache", OLD)
    before = files(prefix)
    size = sum(map(len, files(prefix / "old").values()))
    capsys.readouterr()
    clean(prefix, delete=False)
    said = capsys.readouterr().out
    assert files(prefix) == before
    assert f"delete  {old.uri}" in said
    assert f"delete  {prefix}/cache/references/gone  2 B" in said
    assert f"would delete 1 runs and 1 folders beside them, {amount(size + 2)}, and keep 1 runs" in said
    assert "add --yes" in said
    clean(prefix)
    done = capsys.readouterr().out
    assert [line.split()[1:4] for line in done.splitlines()[:-1]] == [
        line.split()[1:4] for line in said.splitlines()[:-1]
    ]
    assert f"deleted 1 runs and 1 folders beside them, {amount(size + 2)}" in done
    assert not (prefix / "old").exists()


@pytest.mark.parametrize("stray", ["iterations/x", "iterations/000/x", "iterations/001/main/x/y"])
def test_a_stray_file_among_a_runs_own_is_no_stumbling_block(prefix: Path, stray: str) -> None:
    a_run(prefix, "old").write(stray, b"{}")
    aged(prefix, OLD)
    clean(prefix)
    assert not (prefix / "old/run.json").exists()


def test_s3(s3_bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = f"{s3_bucket}/team/runs"
    live, old = a_run(prefix, "live"), a_run(prefix, "old", inputs={"policy": "mine"})
    lock.acquire(live, "job-7")
    top = open_store(prefix)
    top.write("cache/logprobs/nobodys/x/00000.parquet", b"x" * 1500)
    # Some consoles keep an empty object for a folder.
    open_store(s3_bucket)._client.put_object(Bucket=s3_bucket.removeprefix("s3://"), Key="team/runs/old/policies/")
    before = {key: top.read(key) for key in top.list("live")}
    capsys.readouterr()
    clean(prefix, older_than="0h", delete=False)
    out = capsys.readouterr().out
    size = sum(len(old.read(key)) for key in old.list())
    assert f"delete  {old.uri}  {amount(size)}" in out
    assert f"delete  {prefix}/cache/logprobs/nobodys  1.5 kB" in out
    clean(prefix, older_than="0h")
    assert {key: top.read(key) for key in top.list()} == before


def test_the_command(prefix: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("weekly", "daily"):
        a_run(prefix, name)
        Ledger(open_store(f"{prefix}/{name}"), name).take(["a prompt"])
    main = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    main.add_typer(app)
    monkeypatch.setattr(cli, "app", main)
    arguments = ["--forget", "weekly", "--forget", "daily", "--older-than", "4w", "--keep-last", "1", "--yes"]
    monkeypatch.setattr("sys.argv", ["nashflow", "gc", str(prefix), *arguments])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert not exit.value.code
    assert names(prefix) == {"weekly", "daily"}
    assert list((prefix / "ledgers").iterdir()) == []
    assert "one of the last 1 of daily" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"), [("12h", 43_200.0), ("30d", 30 * DAY), ("1.5w", 10.5 * DAY), ("0d", 0.0)]
)
def test_ages(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["30", "d", "-1d", "30 days", "", "1m"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="give a number with h, d or w"):
        seconds(text)


def test_a_run_root_is_no_prefix(prefix: Path) -> None:
    store = a_run(prefix, "old")
    with pytest.raises(UserError, match="is a run root: give the folder"):
        clean(store.uri)
    assert_whole(store)


@pytest.mark.parametrize("there", [True, False])
def test_a_prefix_without_runs_is_refused(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "file").write_text("x")
    with pytest.raises(UserError, match="no runs right below it"):
        clean(tmp_path / "elsewhere" if there else tmp_path / "nowhere")


def test_a_bucket_that_is_not_there(s3_bucket: str) -> None:
    with pytest.raises(UserError, match="no bucket"):
        clean("s3://no-such-bucket-anywhere/runs")
