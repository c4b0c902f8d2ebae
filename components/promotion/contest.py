"""The contest: candidate and champion answer held-out prompts, and the oracle compares, until that decides.

It is a unit of work. Its journal keeps answers and verdicts, so that it goes on where it was stopped; nothing is
sampled or asked twice.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from ..benchmarks.canary import NULL
from ..benchmarks.head_to_head import compare
from ..benchmarks.intervals import means_of
from ..benchmarks.questions import CANARY_QUESTIONS
from ..core.errors import UserError
from ..core.seeds import derive_seed
from ..iterations.work import Work
from ..models.dialogues import TemplateSettings
from ..models.policies import LocalPolicy
from ..oracles.base import Oracle, Query
from ..oracles.oracle_settings import OracleSettings
from ..oracles.unanswered import Unanswered, waiting
from ..oracles.usage import total_usage, used_since
from ..runtime.progress import Progress, over
from ..sampling.rollouts import Role, Samplers, in_order, tokens_of, unfinished
from ..storage.records import COMPARISONS, ROLLOUTS, Comparison, Prompt, Record, Rollout
from ..storage.store import Store
from ..storage.units import Manifest
from .guards import Player, figures_of
from .looks import Look, look, schedule
from .settings import PromotionStep

_ROLES: Mapping[Player, Role] = {"candidate": "pair", "champion": "opponent"}
LOOKS = ("prompts", "win_rate", "low", "high")
"""The curves of the contest's manifest, a point for each look."""
_PIECE = 32
"""Prompts of one entry of the journal, where fewer would keep the oracle busy."""


@dataclass(frozen=True)
class Side:
    """A policy in the contest."""

    policy: LocalPolicy
    template: TemplateSettings
    """By which it reads prompts; the two policies may have different tokenizers, since their texts are compared."""


@dataclass
class _Known:
    """What there is so far."""

    answers: dict[Player, list[Rollout]] = field(default_factory=lambda: {"candidate": [], "champion": []})
    rows: list[Comparison] = field(default_factory=list)
    compared: int = 0
    """Prompts that are."""
    canary: dict[str, float] = field(default_factory=dict)
    truncated: int = 0
    used: list[Mapping[str, float]] = field(default_factory=list)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Take in an entry of the journal."""
        for player in _ROLES:
            self.answers[player] += entry.get(player, ())
        self.rows += entry.get("rows", ())
        self.compared += entry.get("compared", 0)
        self.truncated += entry.get("truncated", 0)
        self.canary |= entry.get("canary", {})
        self.used += [entry["used"]] if "used" in entry else []


@dataclass(frozen=True)
class Contest:
    """Two policies, and who compares them."""

    store: Store
    settings: PromotionStep
    sides: Mapping[Player, Side]
    prompts: Sequence[Prompt]
    """On which they meet, in an order that says nothing; see `drawn`."""
    oracle: OracleSettings
    day: str

    def hold(self, work: Work) -> Manifest:
        """Compare until a look decides; publish answers, comparisons and figures.

        Raises:
            UserError: the oracle has abstained on all.
            Pending: somebody outside has to judge.
        """
        known = _Known()
        for entry in work.journal:
            known.add(entry)
        return self._publish(work, known, list(self._looks(work, known)))

    def _looks(self, work: Work, known: _Known) -> Iterator[Look]:
        for count in schedule(self.settings.promotion.first_look, _budget(self.settings, len(self.prompts))):
            for player in _ROLES:
                self._answer(work, known, player, count)
            if known.compared < count:
                self._judge(work, known, count)
            seen = _look(self.settings, known.rows, len(self.prompts))
            yield seen
            if seen.word != "open":
                return

    def _answer(self, work: Work, known: _Known, player: Player, count: int) -> None:
        """Sample what a player lacks of the answers to the first `count` prompts."""
        recipe, side, role = self.settings, self.sides[player], _ROLES[player]
        todo, done = self._todo(0, count), known.answers[player]
        if not (left := list(unfinished(todo, iter(done)))):
            return
        with Samplers(recipe.rollout, template=side.template, day=self.day) as samplers:
            batches = samplers.sampled(
                {side.policy.folder: 1.0},
                left,
                role=role,
                temperature=recipe.evaluation.temperature,
                seed=(recipe.run.seed, "promotion", player),
            )
            for batch in over(batches, f"answers of the {player}", len(todo), len(done), tokens_of):
                self._keep(work, known, {player: batch})

    def _judge(self, work: Work, known: _Known, count: int) -> None:
        """Ask about the prompts up to `count` that are not compared yet, piece by piece.

        The oracle is opened for each look alone: a policy that is sampled may need the accelerator's memory.
        """
        oracle = self.oracle.dated(self.day).load(self.store)
        size = max(self.oracle.fills // self.settings.evaluation.samples, _PIECE)
        with waiting(self.store, f"promotion-{work.unit.fingerprint[:16]}"), Progress("prompts", count) as progress:
            progress.add(known.compared)
            while (begun := known.compared) < count:
                oracle.begin(f"{work.unit.name}/{begun}")
                try:
                    entry = self._piece(known, oracle, begun, min(begun + size, count))
                except Unanswered:
                    self._piece(known, oracle, begun, count)  # so that all open questions are exported
                    raise
                self._keep(work, known, entry)
                progress.add(entry["compared"])
        if all(row["abstained"] for row in known.rows):
            raise UserError(
                f"promotion: the oracle {self.oracle.signature} abstained on all of {len(known.rows)} comparisons with "
                "the champion, so that nothing is decided: set an oracle that judges answers to the held-out prompts"
            )

    def _piece(self, known: _Known, oracle: Oracle, begun: int, end: int) -> dict[str, Any]:
        """The journal's entry on the prompts from `begun` to `end`; the first one has the canary, too."""
        asked, before = self.prompts[begun:end], dict(oracle.usage)
        messages = {prompt["row_id"]: prompt["messages"] for prompt in asked}
        ours, theirs = (
            list(in_order((row for row in known.answers[player] if row["row_id"] in messages), self._todo(begun, end)))
            for player in _ROLES
        )
        figures, rows = compare(oracle, messages, ours, theirs, self.oracle.signature)
        return {
            "rows": [{**row, "index": len(known.rows) + place} for place, row in enumerate(rows)],
            "compared": len(asked),
            "truncated": figures["truncated"],
            "canary": {} if begun else self._canary(oracle, messages, ours, theirs),
            "used": used_since(oracle, before),
        }

    def _canary(
        self, oracle: Oracle, prompts: Mapping[int, Any], ours: Sequence[Rollout], theirs: Sequence[Rollout]
    ) -> dict[str, float]:
        """How often the constant answer is preferred to each player's."""
        found = {}
        for player, rows in zip(_ROLES, (ours, theirs), strict=True):
            some = rows[:CANARY_QUESTIONS]
            verdicts = oracle.compare([Query(prompts[row["row_id"]], NULL, row["text"]) for row in some])
            told = [verdict.probability for verdict in verdicts if not verdict.abstained]
            if told:
                found[f"{player}_canary"] = sum(told) / len(told)
        return found if len(found) == len(_ROLES) else {}

    def _todo(self, begun: int, end: int) -> list[tuple[Prompt, int]]:
        samples = range(self.settings.evaluation.samples)
        return [(prompt, sample) for prompt in self.prompts[begun:end] for sample in samples]

    def _keep(self, work: Work, known: _Known, entry: Mapping[str, Any]) -> None:
        work.journal.append(dict(entry))
        known.add(entry)

    def _publish(self, work: Work, known: _Known, looks: Sequence[Look]) -> Manifest:
        end, sampled = looks[-1], self._todo(0, known.compared)
        metrics: dict[str, float | None] = {
            "win_rate": end.win_rate,
            "win_rate_low": end.low,
            "win_rate_high": end.high,
            "prompts": end.prompts,
            "comparisons": len(known.rows),
            "abstentions": sum(row["abstained"] for row in known.rows),
            "truncated": known.truncated,
            **known.canary,
            **total_usage(known.used),
        }
        answers = {player: list(in_order(iter(rows), sampled)) for player, rows in known.answers.items()}
        for player in get_args(Player):
            metrics |= {f"{player}_{name}": value for name, value in figures_of(answers[player]).items()}
        said = [*answers["candidate"], *answers["champion"]]
        tables: dict[Record[Any], Sequence[Mapping[str, Any]]] = {ROLLOUTS: said, COMPARISONS: known.rows}
        curves = {name: [getattr(each, name) for each in looks] for name in LOOKS}
        return work.unit.publish(work.unit.write_records(tables), metrics, work.started, curves=curves)


def last_look(store: Store, contest: Manifest, settings: PromotionStep, prompts: int) -> Look:
    """The look that ended a contest for which there were so many prompts."""
    return _look(settings, contest.rows(store, COMPARISONS), prompts)


def _look(settings: PromotionStep, rows: Sequence[Comparison], prompts: int) -> Look:
    left = _budget(settings, prompts) - len({row["row_id"] for row in rows})
    values = means_of((row["row_id"], row["probability"]) for row in rows if not row["abstained"])
    return look(values, left, settings.promotion.threshold, settings.promotion.confidence)


def _budget(settings: PromotionStep, prompts: int) -> int:
    return min(settings.promotion.budget or prompts, prompts)


def drawn(prompts: Sequence[Prompt], seed: int) -> list[Prompt]:
    """The prompts in an order that is a function of their row ids and the run's seed alone."""
    return random.Random(derive_seed(seed, "promotion")).sample(
        sorted(prompts, key=lambda prompt: prompt["row_id"]), len(prompts)
    )
