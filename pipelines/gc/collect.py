"""`nashflow gc`: say what goes and what stays, and delete what goes."""

import re
import sys
import time
from collections.abc import Mapping

from nashflow.components.shared.errors import UserError
from nashflow.components.shared.store import open_store

from ..costs_table import amount
from .inventory import Entry, RunRoot, take
from .keep import Decision, ago, decide
from .remove import remove_run, remove_shared

_SECONDS = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


def collect(prefix: str, older_than: str, keep_last: int, delete: bool) -> None:
    """Clean the runs below a prefix; without `delete`, only say what would be deleted.

    Raises:
        UserError: no age, no runs, a registry that does not answer, or runs that could not be deleted.
    """
    limit = seconds(older_than)
    inventory = take(open_store(prefix))
    decision = decide(inventory, limit, keep_last)
    for run in inventory.runs:
        if run.uri in decision.kept:
            _say("keep", run.uri, run.size, decision.kept[run.uri])
    refused = []
    for run in decision.removed:
        if delete:
            try:
                remove_run(run)
            except UserError as error:
                refused.append(str(error))
                continue
        _say("deleted" if delete else "delete", run.uri, run.size, _described(run))
    for folder, entries in {} if refused else decision.shared.items():
        if delete:
            remove_shared(inventory.prefix, folder, entries)
        what = f"{len(entries)} files, which no kept run refers to"
        _say("deleted" if delete else "delete", inventory.prefix.location(folder), _size(entries), what)
    if refused:
        raise UserError("; ".join(refused))
    print(_summary(decision, delete))


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
    print(f"{verb:<8}{place}  {amount(size)}  {why}", file=sys.stdout, flush=True)


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
    """policies, rollouts, comparisons, pairs, logprobs, training, prompts, evaluation, report, or the file itself."""
    parts = key.split("/")
    if parts[0] != "iterations":
        return parts[0]
    return parts[2] if parts[2] in ("prompts", "evaluation") else parts[3]


def _size(entries: Mapping[str, Entry]) -> int:
    return sum(entry.size for entry in entries.values())


def _summary(decision: Decision, delete: bool) -> str:
    freed = sum(run.size for run in decision.removed) + sum(map(_size, decision.shared.values()))
    what = f"{len(decision.removed)} runs and {len(decision.shared)} folders beside them, {amount(freed)}"
    if delete:
        return f"deleted {what}; kept {len(decision.kept)} runs"
    return f"would delete {what}, and keep {len(decision.kept)} runs; nothing has been deleted: add --yes to do it"
