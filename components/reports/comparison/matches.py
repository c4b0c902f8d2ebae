"""The runs' last policies head to head, under the oracle that they share."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from ...benchmarks.head_to_head import compare
from ...benchmarks.intervals import even_p_value, means_of
from ...core.errors import UserError
from ...oracles.base import Oracle
from ...storage import layout
from ...storage.records import PROMPTS, ROLLOUTS, Message, Rollout
from ...storage.units import require_manifest
from .differences import Difference, corrected
from .entries import Entry

Place = tuple[str, int, int]
"""A prompt, which of its equals it is, and a sample."""


@dataclass(frozen=True)
class Match:
    """How often one run's last policy wins against another's."""

    first: str
    second: str
    win_rate: float | None
    """Of the first; None where the oracle abstained on all."""
    low: float | None
    high: float | None
    """The ends of its 95 % interval."""
    p: float | None
    """Of an even match, corrected for the number of matches (Holm)."""
    prompts: int
    abstentions: int


class _Said(NamedTuple):
    messages: Sequence[Message]
    response: Rollout


def play(entries: Sequence[Entry], oracle: Oracle, signature: str) -> list[Match]:
    """Every two runs' responses to the held-out prompts that both have, compared by the oracle.

    These are the responses that the runs have been evaluated by: nothing is sampled. `signature` is the oracle's.

    Raises:
        UserError: a run has no such responses, or two runs have no prompt in common.
    """
    said = {entry.label: _responses(entry) for entry in entries}
    played = [_match(one.label, other.label, said, oracle, signature) for one, other in combinations(entries, 2)]
    ps = corrected([Difference(0.0, p=each.p) if each.p is not None else None for each in played])
    return [Match(**{**vars(each), "p": found.p if found else None}) for each, found in zip(played, ps, strict=True)]


def _match(first: str, second: str, said: dict[str, dict[Place, _Said]], oracle: Oracle, signature: str) -> Match:
    ours, theirs = said[first], said[second]
    common = [place for place in ours if place in theirs]
    if not common:
        raise UserError(f"--play: {first} and {second} have no held-out prompt in common: give both the same seed")
    messages = {ours[place].response["row_id"]: ours[place].messages for place in common}
    answered, opposed = ([side[place].response for place in common] for side in (ours, theirs))
    figures, rows = compare(oracle, messages, answered, opposed, signature)
    means = means_of((row["row_id"], row["probability"]) for row in rows if not row["abstained"])
    return Match(
        first,
        second,
        figures["win_rate"],
        figures["win_rate_low"],
        figures["win_rate_high"],
        even_p_value(means) if means else None,
        len(means),
        int(figures["abstentions"] or 0),
    )


def _responses(entry: Entry) -> dict[Place, _Said]:
    """The last policy's responses; equal prompts are told apart by their order."""
    store, last = entry.reported.store, entry.last["iteration"]
    if "responses" not in entry.shape.sampled(last):
        raise UserError(
            f"--play: {entry.label} has no responses to held-out prompts: its evaluation.benchmarks sample none; add "
            "head_to_head and run the recipe again under its run root"
        )
    seen, prompts = Counter[str](), {}
    for row in require_manifest(store, layout.held_out()).rows(store, PROMPTS):
        text = json.dumps(row["messages"], sort_keys=True)
        prompts[row["row_id"]] = (text, seen[text], row["messages"])
        seen[text] += 1
    found = {}
    for response in require_manifest(store, layout.evaluation(last, "responses")).rows(store, ROLLOUTS):
        text, place, messages = prompts[response["row_id"]]
        found[text, place, response["sample"]] = _Said(messages, response)
    return found
