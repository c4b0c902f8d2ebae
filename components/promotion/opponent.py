"""Whom a candidate has to beat: the champion, the run's reference while there is none, or nobody."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from ..core.errors import UserError
from ..core.redaction import redact
from ..core.settings import Part
from ..methods.phases import REFERENCE, REFERENCE_APART
from ..models.dialogues import DEFAULT_TEMPLATE, PolicyTemplate
from ..models.named import place_of
from ..models.policies import open_policy
from ..registry.version import Version
from ..storage import layout
from ..storage.run import read_run
from ..storage.store import Store, open_store
from ..storage.units import read_manifest, require_manifest
from .contest import Side

_PIN = "promotion/opponent.json"


class _Templated(Part):
    policy: PolicyTemplate = PolicyTemplate()


@dataclass(frozen=True)
class Opponent:
    """A policy by its run, for a decision."""

    digest: str
    """Of its files; empty: there is nobody."""
    run_root: str = ""
    policy: str = ""
    """Its reference there, as in `003/main`."""
    place: str = ""
    version: int | None = None
    """The champion's; None of the reference."""

    @classmethod
    def of(cls, champion: Version) -> Self:
        """The champion.

        Raises:
            UserError: its files are gone, or are other ones than were registered.
        """
        digest = champion.manifest().digest
        return cls(digest, champion.run_root, champion.policy, champion.place, champion.number)

    @classmethod
    def reference(cls, store: Store) -> Self:
        """The reference of the run under a run root."""
        apart = read_manifest(store, layout.policy(0, REFERENCE_APART.name))
        name = str(REFERENCE_APART if apart else REFERENCE)
        digest = require_manifest(store, f"{layout.POLICIES}/{name}").digest
        return cls(digest, redact(store.uri), name, redact(place_of(store, name)))

    @classmethod
    def pinned(cls, store: Store, candidate: str) -> Self | None:
        """The opponent that an earlier attempt found for the candidate of a digest."""
        try:
            pin = json.loads(store.read(_PIN))
        except FileNotFoundError:
            return None
        return cls(**pin["opponent"]) if pin["candidate"] == candidate else None

    def pin(self, store: Store, candidate: str) -> None:
        """Keep it for an attempt that finds the candidate crowned."""
        store.write(_PIN, json.dumps({"candidate": candidate, "opponent": asdict(self)}).encode())

    @property
    def folder(self) -> str:
        """What is measured of it lies there, under the run root of the candidate."""
        return f"promotion/{self.digest[:16]}"

    @property
    def shown(self) -> str:
        """For people."""
        return "the reference" if self.version is None else f"version {self.version}"

    def described(self) -> Mapping[str, str | int | None]:
        """For a decision's JSON; empty if there is nobody."""
        return asdict(self) if self.digest else {}

    def side(self, store: Store) -> Side:
        """The policy on this machine, and the template of its run; `store`: of the run that it meets.

        Raises:
            UserError: a file does not have its digest.
        """
        origin = store if self.version is None else open_store(self.run_root)
        run = read_run(origin)
        template = _Templated.parse(run.recipe, layout.RUN).policy if run else DEFAULT_TEMPLATE
        try:
            return Side(open_policy(origin, self.policy), template)
        except UserError as error:
            raise UserError(f"{self.shown} of the registered model: {error}") from None


NOBODY = Opponent("")
