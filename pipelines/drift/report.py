"""What has changed from run to run of a name: policies, prompts, the judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.oracle_settings import OracleSettings
from nashflow.components.reports.plain import plain
from nashflow.components.runtime.voice import log_format, speaking

from ..asking import oracle_settings
from .answers import WinRate, answers_of, learned_from, win_rate
from .found import Fired, find
from .judge import Asked, ask, keep, probes_of
from .prompts import Difference, difference, text_of


@dataclass(frozen=True)
class Row:
    """A run, beside the first champion and the first run's prompts."""

    fired: Fired
    win_rate: WinRate | None
    prompts: Difference | None
    note: str = ""
    """Why there is no win rate."""

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON value."""
        fired = self.fired
        return {
            "run_root": fired.store.uri,
            "run": fired.run.name,
            "day": fired.day,
            "ended": fired.ended.ended,
            "outcome": fired.ended.outcome,
            "became": fired.became,
            "reason": fired.reason,
            "version": fired.version.number if fired.version else None,
            "win_rate": plain(self.win_rate),
            "prompts": {**plain(self.prompts), "shifted": self.prompts.shifted} if self.prompts else None,
            "note": self.note,
        }


@dataclass(frozen=True)
class Drift:
    """What a page on drift shows."""

    named: str
    rows: Sequence[Row]
    champion: Fired
    """The first one, which win rates are against."""
    promoted: bool
    """Whether it was one: the first run's policy stands for it where nothing was promoted."""
    judge: Sequence[Asked]
    """What the judge said of the same pairs, day by day."""

    def to_json(self) -> dict[str, Any]:
        """The page as a JSON value."""
        return {
            "named": self.named,
            "first_champion": self.champion.store.uri,
            "promoted": self.promoted,
            "runs": [row.to_json() for row in self.rows],
            "judge": plain(self.judge),
        }


def drift(named: str, under: str) -> Drift:
    """Look at the runs of a name, or of a registered model; the judge is asked about answers that are there.

    Raises:
        UserError: there are no such runs, or none has succeeded, or the judge cannot be opened.
    """
    runs = find(named, under)
    trained = [run for run in runs if run.ended.outcome == "succeeded"]
    if not trained:
        raise UserError(f"{named}: none of its {len(runs)} runs has succeeded, so that there is nothing to compare")
    reigning = [run for run in trained if run.version and run.version.reign]
    champion = min(reigning, key=lambda run: run.version.reign if run.version else 0) if reigning else trained[0]
    newest = trained[-1]
    oracle = oracle_settings(newest.run.recipe["oracle"]).made_in(newest.store).dated(newest.run.date)
    with speaking({"step": "drift", "iteration": 0, "shard": 0, "phase": ""}, log_format("text")):
        rows = _rows(runs, trained[0], champion, oracle, newest)
        judge = _judged(oracle, trained[0], newest)
    return Drift(named, rows, champion, bool(reigning), judge)


def _rows(runs: Sequence[Fired], first: Fired, champion: Fired, oracle: OracleSettings, newest: Fired) -> list[Row]:
    opened, theirs = oracle.load(newest.store), answers_of(champion)
    before = [text_of(messages) for messages in learned_from(first)]
    rows = []
    for run in runs:
        if run.ended.outcome != "succeeded":
            rows.append(Row(run, None, None))
            continue
        texts = [text_of(messages) for messages in learned_from(run)]
        prompts = difference(before, texts) if before and texts and run is not first else None
        won = None if run is champion else win_rate(opened, theirs, answers_of(run))
        note = "the first champion" if run is champion else "" if won else "too few held-out prompts in common"
        rows.append(Row(run, won, prompts, note))
    return rows


def _judged(oracle: OracleSettings, first: Fired, newest: Fired) -> list[Asked]:
    """What the judge says now of the first run's comparisons, after what it said on other days."""
    probes = probes_of(first)
    # Without a store: what the judge said before is what it must not be told.
    now = ask(oracle.load(), oracle.signature, probes) if probes else None
    return keep(newest.store.at(".."), newest.run.name, now) if now else []
