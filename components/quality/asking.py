"""Ask a judge about labelled pairs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.errors import UserError
from ..games.sandbox.texts import CONTEXT_NAMES, context_index
from ..oracles.base import Oracle, Query, Verdict
from ..oracles.oracle_settings import OracleSettings, TooLong
from ..prompts.compared import Compared
from ..prompts.counts import Counts
from ..runtime.progress import over
from ..storage.store import Store
from .pairs import LabelledPairs, Verdicts

_AT_ONCE = 512
"""Pairs that a judge is asked about at once."""


@dataclass(frozen=True)
class Asked:
    """A judge's verdicts on pairs."""

    verdicts: Verdicts
    again: Verdicts | None
    """Those of the same judge asked with other random numbers; None where it draws none."""
    seconds: float
    usage: Mapping[str, float]
    """What it has used, such as tokens, by name; both times."""


def readable(compared: Sequence[Compared], judges: Sequence[OracleSettings], counts: Counts) -> list[Compared]:
    """The entries with prompts that all judges' chat templates keep whole; the others are counted.

    Prompts that are too long stay: a judge abstains from them.

    Raises:
        UserError: there are none, or a judge knows its own world alone and a prompt is of another.
    """
    for judge in judges:
        if judge.own_world:
            _check_world(judge, compared)
    readers = [reader for judge in judges if (reader := judge.reader())]
    kept = []
    for each in compared:
        try:
            for read in readers:
                try:
                    read(each.messages)
                except TooLong:
                    continue
        except UserError as line:
            counts.leave_out("unrendered")
            counts.examples.setdefault("unrendered", f"{each.where}: {line}")
        else:
            kept.append(each)
    if not kept:
        raise UserError(f"no prompt can be read by every judge: {counts.examples['unrendered']}")
    counts.kept = len({each.prompt for each in kept})
    return kept


def _check_world(judge: OracleSettings, compared: Sequence[Compared]) -> None:
    for each in compared:
        try:
            context_index(each.messages)
        except UserError:
            raise UserError(
                f"{each.where}: no prompt of the sandbox world ({CONTEXT_NAMES[0]} to {CONTEXT_NAMES[-1]}), which is "
                f"all that an oracle of kind {judge.kind} in that world judges: give another oracle"
            ) from None


def ask(judge: OracleSettings, pairs: LabelledPairs, store: Store | None = None) -> Asked:
    """A judge's verdicts on all pairs; one that is dear to ask keeps them in `store`.

    Raises:
        UserError: the judge cannot be opened, or judges no such prompts.
    """
    opened = judge.load(store)
    started = time.monotonic()
    verdicts = _verdicts(opened, pairs.queries)
    seconds, used = time.monotonic() - started, [opened.usage]
    again = None
    if other := judge.asked_again():
        opened = other.load(store)
        again = _verdicts(opened, pairs.queries)
        used.append(opened.usage)
    usage = {name: sum(each[name] for each in used) for name in used[0]}
    return Asked(verdicts, again, seconds, usage)


def _verdicts(oracle: Oracle, queries: Sequence[Query]) -> Verdicts:
    found: list[Verdict] = []
    starts = range(0, len(queries), _AT_ONCE)
    for piece in over((queries[at : at + _AT_ONCE] for at in starts), "pairs", len(queries)):
        found += oracle.compare(piece)
    return Verdicts.of(found)
