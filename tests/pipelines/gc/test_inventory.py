"""What below a prefix is a run, and which of its files are."""

import os
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.runtime import lock
from nashflow.components.storage import layout
from nashflow.components.storage.store import open_store
from tests.pipelines.gc.runs import OLD, YOUNG, a_run, aged, clean, files, fired, names

LOCK = f"{layout.LOCK}/000000000001.json"
OTHERS = (
    *(LOCK, layout.OUTCOME, "run.json.bak", "preparation.manifest.json", "lock.json"),
    *("policies/000/main.manifest.json", "iterations/000/prompts/held_out.manifest.json"),
)


def test_what_is_no_run_is_left_alone(prefix: Path) -> None:
    store = a_run(prefix, "old")
    a_run(prefix, "young", YOUNG)
    store.write("notes.txt", b"mine")
    open_store(str(prefix)).write("archive/old/run.json", b"{}")
    aged(prefix, OLD)
    aged(prefix / "young", YOUNG)
    clean(prefix)
    assert files(prefix / "old") == {"notes.txt": b"mine"}
    assert (prefix / "archive/old/run.json").exists()


@pytest.mark.parametrize("name", OTHERS)
def test_folders_of_others_are_no_runs(prefix: Path, name: str) -> None:
    """Other programs have files of these names."""
    a_run(prefix, "old")
    webapp = prefix / "webapp"
    for path in ("policies/privacy.md", "report/q3.pdf", "main.py", name):
        (webapp / path).parent.mkdir(parents=True, exist_ok=True)
        (webapp / path).write_text('{"deps": {}}')
    aged(prefix, OLD)
    before = files(webapp)
    clean(prefix)
    assert names(prefix) == {"webapp"}
    assert files(webapp) == before
    with pytest.raises(UserError, match="no runs right below it"):
        clean(prefix)


def test_only_what_runs_write_goes(prefix: Path) -> None:
    """Whatever its name begins with; the store's own hidden files go with the run."""
    store = a_run(prefix, "old")
    kept = {"run.json.bak": b"mine", f"notes/{LOCK}": b"mine", "iterations.txt": b"mine"}
    for name, data in kept.items():
        store.write(name, data)
    lock.acquire(store, "job")
    lock.release(store, "job")
    aged(prefix, OLD)
    clean(prefix)
    assert files(prefix / "old") == kept
    assert [path.name for path in (prefix / "old").rglob(".nashflow-*")] == []


def test_links_and_files_that_vanish_are_no_trouble(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, elsewhere = a_run(prefix, "old"), prefix.parent / "elsewhere"
    elsewhere.write_text("mine")
    store.write("iterations/000/vanishing", b"x")
    aged(prefix, OLD)
    (prefix / "old" / "dangling").symlink_to("/nowhere/at/all")
    (prefix / "old" / "policies" / "link").symlink_to(elsewhere)
    os.utime(prefix / "old" / "policies" / "link", (1e9, 1e9), follow_symlinks=False)
    walk = os.walk

    def racing(*arguments: object, **options: bool) -> object:
        for parent, folders, found in walk(*arguments, **options):  # type: ignore[call-overload]
            if "vanishing" in found:
                store.delete("iterations/000/vanishing")
            yield parent, folders, found

    monkeypatch.setattr(os, "walk", racing)
    clean(prefix)
    assert [path.name for path in (prefix / "old").rglob("*")] == ["dangling"]
    assert elsewhere.read_text() == "mine"


def test_a_firing_that_found_no_new_prompts_goes(prefix: Path) -> None:
    a_run(prefix, "young", YOUNG)
    fired(prefix, "job-7")
    clean(prefix)
    assert "job-7" in names(prefix)
    aged(prefix / "job-7", OLD)
    clean(prefix)
    assert names(prefix) == {"young"}


def test_a_damaged_run_is_for_a_person_to_look_at(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(prefix, "damaged").write(layout.RUN, b"{")
    aged(prefix, OLD)
    clean(prefix)
    assert names(prefix) == {"damaged"}
    assert "cannot be read" in capsys.readouterr().out
