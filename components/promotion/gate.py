"""The gate of a registered model: who meets whom, what is decided, and what becomes of it in the registry."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..core.redaction import redact
from ..core.settings import named_by
from ..iterations.work import Work
from ..models.policies import open_policy
from ..oracles.oracle_settings import OracleSettings
from ..registry.champions import Registry
from ..registry.gate import Gate, gate
from ..registry.version import Version
from ..runtime.protocol import Call
from ..storage import layout
from ..storage.journal import Journal, discard
from ..storage.records import Prompt
from ..storage.run import date_of, require_run, without_endpoints
from ..storage.units import Manifest, Unit, read_manifest, require_manifest
from .candidate import chosen, prompts_of
from .contest import Contest, Side, last_look
from .decision import Decision, Ruling, looks_of, ruling
from .figures import Figures
from .guards import Player, guards_of
from .opponent import NOBODY, Opponent
from .publishing import publish
from .settings import PromotionSettings, PromotionStep

VERSION = 1
_NOT_COMPARED = {"model", "first", "dry_run", "guards"}
"""The settings that a contest does not depend on."""


@dataclass(frozen=True)
class Promotion:
    """The promotion of one of a run's policies."""

    call: Call[PromotionStep]

    def decided(self) -> Manifest | None:
        """The decision, if there is one under these settings: whoever is the champion now."""
        before = read_manifest(self.call.store, self._key)
        return self._unit(before.inputs.get("opponent", "") if before else "").finished()

    def decide(self) -> tuple[Manifest, bool]:
        """Decide about the present champion, and see to it that the registry says so.

        Returns:
            The decision, and whether it was there.

        Raises:
            UserError: the champion is gone, or is not what was registered, or another one than a moment ago.
            TryAgain: another run is at this gate, or MLflow does not answer.
        """
        registry, started = Registry.open(self._settings.model), time.time()
        with self._alone() as held:
            champion = registry.champion()
            opponent = self._opponent(champion)
            unit = self._unit(opponent.digest)
            if found := unit.finished():
                return found, True
            contest = self._contest(opponent) if opponent.digest not in ("", self._digest) else None
            decision = self._decision(opponent, contest)
            if held and decision.why != "same":
                decision = self._act(registry, held, champion, decision)
            return publish(unit, decision, contest, self._prompts if contest else (), started), False

    @property
    def _settings(self) -> PromotionSettings:
        return self.call.settings.promotion

    @cached_property
    def _candidate(self) -> str:
        """The candidate's reference, as in `003/main`."""
        return chosen(self.call)

    @property
    def _iteration(self) -> int:
        return int(self._candidate.partition("/")[0])

    @cached_property
    def _digest(self) -> str:
        """Of the candidate's files."""
        return require_manifest(self.call.store, f"{layout.POLICIES}/{self._candidate}").digest

    @cached_property
    def _prompts(self) -> list[Prompt]:
        return prompts_of(self.call)

    @cached_property
    def _oracle(self) -> OracleSettings:
        return self.call.settings.oracle.made_in(self.call.store)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[Gate | None]:
        """The gate, at which one run at a time is; a dry run changes nothing, and needs none."""
        if self._settings.dry_run:
            yield None
            return
        with gate(self.call.store, self._settings.model) as held:
            yield held

    def _opponent(self, champion: Version | None) -> Opponent:
        """The champion; while there is none, the reference, or nobody.

        An attempt that was killed after it had crowned the candidate left a pin, which says whom the candidate had met.
        """
        store, found = self.call.store, Opponent.of(champion) if champion else NOBODY
        if found.digest == self._digest:
            pin = Opponent.pinned(store, self._digest)
            return pin if pin and self._met(pin) else found
        if not champion and self._settings.first == "reference":
            found = Opponent.reference(store)
        if not self._settings.dry_run:
            found.pin(store, self._digest)
        return found

    def _met(self, opponent: Opponent) -> bool:
        return not opponent.digest or self._contest_unit(opponent).finished() is not None

    def _contest(self, opponent: Opponent) -> Manifest:
        """The contest with an opponent, held unless it has been."""
        unit, call = self._contest_unit(opponent), self.call
        if found := unit.finished():
            return found
        candidate = Side(open_policy(call.store, self._candidate), call.settings.policy)
        sides: dict[Player, Side] = {"candidate": candidate, "champion": opponent.side(call.store)}
        contest = Contest(call.store, call.settings, sides, self._prompts, self._oracle, date_of(call.store))
        with Journal(unit) as journal:
            made = contest.hold(Work(unit, journal, time.time()).after(journal.spent))
        discard(unit)
        return made

    def _decision(self, opponent: Opponent, contest: Manifest | None) -> Decision:
        settings, guards, looks = self._settings, [], []
        if contest:
            last = last_look(self.call.store, contest, self.call.settings, len(self._prompts))
            margins = settings.guards.model_dump(exclude={"figures"})
            guards, looks = guards_of(contest.metrics, margins), looks_of(contest)
            if last.word == "better":  # benchmarks may take hours
                figures = Figures(self.call, self._oracle, date_of(self.call.store))
                guards += figures.guards(self._iteration, opponent)
            made = ruling(last, guards, opponent.shown, settings.threshold)
        elif opponent.digest:
            made = Ruling("refused", "same", f"it is the champion already, {opponent.shown}")
        else:
            made = Ruling("promoted", "first", "there was no champion, and promotion.first is promote")
        return Decision(
            *made,
            dry_run=settings.dry_run,
            model=settings.model,
            candidate=self._described(),
            opponent=opponent.described(),
            threshold=settings.threshold,
            confidence=settings.confidence,
            figures=contest.metrics if contest else {},
            looks=looks,
            guards=[each.described() for each in guards],
            version=opponent.version if made.why == "same" else None,
        )

    def _described(self) -> dict[str, Any]:
        """The candidate, for a decision's JSON."""
        store = self.call.store
        named = {"run": require_run(store).name, "run_root": redact(store.uri), "iteration": self._iteration}
        return {**named, "policy": self._candidate, "digest": self._digest}

    def _act(self, registry: Registry, held: Gate, champion: Version | None, decision: Decision) -> Decision:
        """Register the candidate, and crown it where it is promoted; each can be done again."""
        version = registry.register(self.call.store, self._candidate, decision.description)
        if decision.promoted:
            version = registry.crown(version, champion, held)
        return replace(decision, version=version.number)

    def _unit(self, opponent: str) -> Unit:
        """The unit of the decision about an opponent of a digest."""
        settings = {"contest": self._compared(), "promotion": self._settings.model_dump(mode="json")}
        return Unit(self.call.store, self._key, VERSION, settings, self._inputs(opponent))

    @property
    def _key(self) -> str:
        return layout.PROMOTION_TRIED if self._settings.dry_run else layout.PROMOTION

    def _contest_unit(self, opponent: Opponent) -> Unit:
        return Unit(
            self.call.store, f"{opponent.folder}/contest", VERSION, self._compared(), self._inputs(opponent.digest)
        )

    def _compared(self) -> dict[str, Any]:
        """The settings that a contest depends on, a JSON value."""
        recipe = self.call.settings
        return {
            "run": recipe.run.identity(),
            "rollout": recipe.rollout.model_dump(mode="json"),
            "template": recipe.policy.model_dump(mode="json"),
            "oracle": without_endpoints(self._oracle.model_dump(mode="json")),
            "evaluation": recipe.evaluation.model_dump(mode="json", include={"samples", "temperature"}),
            "promotion": self._settings.model_dump(mode="json", exclude=_NOT_COMPARED),
        }

    def _inputs(self, opponent: str) -> dict[str, str]:
        store = self.call.store
        return {
            "candidate": self._digest,
            "opponent": opponent,
            "prompts": require_manifest(store, layout.held_out()).digest,
            "oracle": self._oracle.digest(),
            "date": date_of(store),
            **named_by(sampler=self.call.settings.rollout.engine),
        }
