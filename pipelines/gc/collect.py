"""`nashflow gc`: lists what is deleted and what is kept, and deletes."""

import re
import time
from collections.abc import Iterable, Sequence

from nashflow.components.core.errors import UserError
from nashflow.components.storage import layout
from nashflow.components.storage.store import open_store

from ..costs_table import amount
from .inventory import Entries, Inventory, RunRoot, take
from .keep import Decision, ago, decide
from .remove import remove_ledger, remove_run, remove_shared
from .shared import Folders, forgotten, unreferenced

_SECONDS = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


def collect(prefix: str, older_than: str, keep_last: int, delete: bool, forget: Sequence[str] = ()) -> None:
    """Clean the runs below a prefix; without `delete`, only say what would be deleted.

    `forget`: names of runs whose ledger of prompts already taken goes too; the next one finds all of them new.

    Raises:
        UserError: no age, no runs, no such ledger, a registry that does not answer or is not the one that the runs are
            tracked in, or runs that could not be deleted.
    """
    limit = seconds(older_than)
    inventory = take(open_store(prefix))
    ledgers = forgotten(inventory, forget)
    if not (inventory.runs or ledgers):
        raise UserError(
            f"{inventory.prefix.uri}: no runs right below it; give the folder or s3:// prefix that holds run roots"
        )
    decision = decide(inventory, limit, keep_last)
    for run in inventory.runs:
        if run.uri in decision.kept:
            _say("keep", run.uri, run.size, decision.kept[run.uri])
    if refused := _clear_runs(decision.removed, delete):
        raise UserError("; ".join(refused))
    remaining = [run for run in inventory.runs if run.uri in decision.kept]
    cached = unreferenced(inventory, remaining, limit) if inventory.runs else {}
    gone = _clear_shared(inventory, {**cached, **ledgers}, delete)
    print(_summary(decision, gone, delete))


def _clear_runs(runs: Iterable[RunRoot], delete: bool) -> list[str]:
    """Delete runs; returns a message for each that could not be deleted."""
    refused = []
    for run in runs:
        if delete:
            try:
                remove_run(run)
            except UserError as error:
                refused.append(str(error))
                continue
        _say("deleted" if delete else "delete", run.uri, run.size, _described(run))
    return refused


def _clear_shared(inventory: Inventory, folders: Folders, delete: bool) -> Folders:
    """Delete folders beside the run roots, except those that have changed meanwhile; returns the deleted ones."""
    prefix, gone = inventory.prefix, {}
    now = take(prefix) if delete and folders else inventory
    begun = {run.uri for run in now.runs} - {run.uri for run in inventory.runs}
    for folder, entries in folders.items():
        ledger = folder.startswith("ledgers/")
        there = {key for key in now.shared if key in entries or key.startswith(f"{folder}/")}
        if entries != {key: now.shared[key] for key in there}:
            _say("keep", prefix.location(folder), _size(entries), "changed meanwhile")
        elif begun and not ledger:
            _say("keep", prefix.location(folder), _size(entries), f"a run has begun meanwhile: {min(begun)}")
        else:
            if delete and ledger:
                remove_ledger(prefix, folder, entries)
            elif delete:
                remove_shared(prefix, folder, entries)
            what = "the prompts already taken" if ledger else f"{len(entries)} files, which no kept run refers to"
            _say("deleted" if delete else "delete", prefix.location(folder), _size(entries), what)
            gone[folder] = entries
    return gone


def seconds(age: str) -> float:
    """The seconds of `12h`, `30d` or `4w`.

    Raises:
        UserError: it is no age.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", age.strip())
    if not match:
        raise UserError(f"--older-than {age}: give a number with h, d or w, such as 30d")
    return float(match[1]) * _SECONDS[match[2]]


def _say(verb: str, place: str, size: int, why: str) -> None:
    print(f"{verb:<8}{place}  {amount(size)}  {why}", flush=True)


def _described(run: RunRoot) -> str:
    """A run's files by kind, the largest first."""
    kinds: dict[str, int] = {}
    for key, entry in run.own.items():
        kinds[_kind(key)] = kinds.get(_kind(key), 0) + entry.size
    largest = sorted(kinds, key=lambda kind: -kinds[kind])
    state = "finished" if run.finished else "unfinished"
    others = len(run.entries) - len(run.own)
    left = f"; {others} other files stay" if others else ""
    files = ", ".join(f"{kind} {amount(kinds[kind])}" for kind in largest)
    return f"{state}, written to {ago(time.time() - run.written)}; {len(run.own)} files: {files}{left}"


def _kind(key: str) -> str:
    """One of `layout.KINDS`, policies, report, or the folder or file itself."""
    first, *parts = key.split("/")
    # iterations/001/prompts/…, iterations/001/main/rollouts/…
    inner = [part for part in parts[1:3] if part in layout.KINDS]
    return inner[0] if inner else first


def _size(entries: Entries) -> int:
    return sum(entry.size for entry in entries.values())


def _summary(decision: Decision, shared: Folders, delete: bool) -> str:
    freed = sum(run.size for run in decision.removed) + sum(map(_size, shared.values()))
    what = f"{len(decision.removed)} runs and {len(shared)} folders beside them, {amount(freed)}"
    if delete:
        return f"deleted {what}; kept {len(decision.kept)} runs"
    return f"would delete {what}, and keep {len(decision.kept)} runs; nothing has been deleted: add --yes to do it"
