"""Runs below a prefix, made old, and what is left of them."""

import json
import os
import time
from pathlib import Path
from typing import Any

from nashflow.components.core.digests import sha256_bytes
from nashflow.components.storage import generations, layout, outcome
from nashflow.components.storage.run import Run
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import File, Manifest, Unit
from nashflow.pipelines.gc.collect import collect
from tests.components.reports.toy_runs import GAME, WON, evaluations, recipe, toy_run

DAY = 86_400.0
OLD, YOUNG = 40 * DAY, 2 * DAY


def aged(root: Path | str, age: float) -> None:
    """Let everything below a folder be written so long ago."""
    then = time.time() - age
    for path in Path(root).rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def a_run(prefix: Path | str, name: str, age: float = OLD, *, finished: bool = True, **options: Any) -> Store:
    """A run of two iterations below a prefix; its folder's name is the run's, before an optional `@`."""
    store = toy_run(f"{prefix}/{name}", evaluations(3, WON, GAME), name=name.partition("@")[0], **options)
    store.write(f"{layout.tracked('0123')}/1.id", b"4567")
    if finished:
        store.write("report/summary.json", b"{}")
        file = File("report/summary.json", sha256_bytes(b"{}"), 2)
        Unit(store, "report/report", 1, None, {}).publish({"summary.json": file}, {}, time.time())
    if "://" not in store.uri:
        aged(store.uri, age)
    return store


def clean(
    prefix: Path | str,
    *,
    older_than: str = "30d",
    keep_last: int = 0,
    delete: bool = True,
    forget: tuple[str, ...] = (),
) -> None:
    collect(str(prefix), older_than, keep_last, delete, forget)


def names(prefix: Path) -> set[str]:
    """The run roots below a prefix."""
    return {path.name for path in prefix.iterdir() if path.is_dir()} - {"cache", "gates", "ledgers"}


def files(folder: Path) -> dict[str, bytes]:
    """Content by name, but for a store's own hidden files."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".nashflow-"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def locked(store: Store, **fields: Any) -> None:
    """Let a pod of the run `job-1` have taken the lock, which has expired, with some fields changed."""
    usual = {"owner": "job-1", "host": "pod", "pid": None, "started": None}
    newest = generations.newest(store, layout.LOCK)
    assert generations.put(store, layout.LOCK, json.dumps(usual | fields).encode(), newest)
    os.utime(store.location(store.list(layout.LOCK)[-1]), (1.0, 1.0))


def fired(prefix: Path, name: str) -> None:
    """What a firing that found no new prompts leaves."""
    store = open_store(f"{prefix}/{name}")
    Run("weekly", recipe("weekly", 1, 1, ["head_to_head"]), {}, {}).write(store)
    outcome.write(store, "skipped", "2 more prompts are needed", name)


def assert_whole(store: Store) -> None:
    """Every manifest's files are there, as it says."""
    for key in store.list():
        if key.endswith(".manifest.json") and "preparation" not in key:
            manifest = Manifest.from_json(json.loads(store.read(key)))
            for name in manifest.files if not manifest.source else ():
                manifest.read(store, name)
