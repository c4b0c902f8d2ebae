"""The policy that training starts from, 000/main, which is the reference too, unless that is apart, 000/reference:
`AnyPolicy` is the recipe's `policy`, told apart by its `kind`."""

import math
import re
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from ..core.digests import digest_json
from ..core.errors import TryAgain, UserError
from ..core.settings import Variant
from ..core.variants import Variants
from ..games.sandbox.reference import make_reference
from ..games.sandbox.settings import WorldSettings
from ..models.dialogues import Dialogues, PolicyTemplate, TemplateSettings
from ..models.folders import check_causal_lm, check_model_folder, load_tokenizer, read_config, require_chat_template
from ..models.identity import files_read, policy_digest
from ..models.named import find, place_of
from ..models.policies import not_kept, open_policy
from ..models.positions import longest_input
from ..models.size import parameters_of
from ..models.weights import weights_digest
from ..registry.champions import Registry
from ..storage import layout
from ..storage.claims import claim
from ..storage.store import Store
from ..storage.units import Manifest, Unit, require_manifest

VERSION = 1
_RUN, _REGISTERED = "run:", "models:/"
_ALIAS = re.compile(rf"{_REGISTERED}([^/:@]+)@([\w-]+)")


class PolicySettings(Variant, ABC):
    """Interface of the settings of every starting policy; group of entry points: `nashflow.policies`."""

    @property
    def own_world(self) -> WorldSettings | None:
        """The sandbox world that the policy plays, if it does."""
        return None

    @property
    def folder(self) -> Path | None:
        """Its model folder, if it has one before the run begins."""
        return None

    @property
    def named(self) -> str:
        """What names it in the recipe."""
        return self.kind

    @property
    def paths(self) -> tuple[str, ...]:
        """The folders that every step has to read, outside of any store."""
        return ()

    @property
    def copied(self) -> bool:
        """Whether its files are copied under the run root."""
        return True

    def parameters(self) -> float | None:
        """Number of parameters; None if that cannot be read here."""
        return parameters_of(self.folder) if self.folder else None

    def at(self, model: str) -> "FolderPolicy":
        """The policy in another model folder."""
        return FolderPolicy(model=model)

    @property
    def reference_policy(self) -> "PolicySettings | None":
        """π_ref, where training starts from another policy."""
        return None

    def settled(self, before: Mapping[str, Any]) -> "PolicySettings":
        """The same policies, under names that will not come to mean others.

        Args:
            before: as an earlier preparation of this run settled them; empty if there was none.

        Raises:
            UserError: a name means nothing now.
        """
        return self

    def joined(self) -> "PolicySettings":
        """The same, without a reference whose weights are those that training starts from."""
        return self

    def positions(self) -> float:
        """Longest input of the model in tokens; infinite if that is not known."""
        return math.inf

    def dialogues(self, day: str) -> Dialogues | None:
        """How it reads dialogues on a day, an ISO date, as every step has it; None if it has no model folder yet.

        Raises:
            UserError: the folder has no such chat template.
        """
        template = PolicyTemplate.model_validate(self.model_dump(mode="json"))
        return Dialogues(load_tokenizer(self.folder), template, day) if self.folder else None

    @abstractmethod
    def check(self) -> None:
        """Raise a UserError if the policy cannot be used."""

    @abstractmethod
    def digest(self) -> str:
        """Digest that identifies the policy: equal digests mean equal policies."""

    def claim(self, store: Store) -> None:
        """Where the run under `store` only points to its files, see to it that they stay.

        Raises:
            UserError: that cannot be done, or they are deleted already.
        """

    @abstractmethod
    def publish(self, unit: Unit) -> Manifest:
        """Publish the policy as the unit."""

    def bring_in(self, store: Store, named: str, name: str = "main") -> Manifest:
        """Publish the policy, whose `digest` is `named`, as one of iteration 0, unless it is there already."""
        unit = Unit(store, layout.policy(0, name), VERSION, self.model_dump(mode="json"), {"named": named})
        return unit.finished() or self.publish(unit)


class SandboxPolicy(PolicySettings):
    """The sandbox world's reference policy, created by the run."""

    kind: Literal["sandbox"] = "sandbox"
    world: WorldSettings = WorldSettings()
    """The world."""

    @property
    def own_world(self) -> WorldSettings | None:
        """The world."""
        return self.world

    def parameters(self) -> float:
        """The parameters of its small Llama."""
        return 84_672.0

    def check(self) -> None:
        """Nothing to refuse: every world seed has its policy."""

    def digest(self) -> str:
        """Digest of the world's settings."""
        return digest_json(self.world.model_dump(mode="json"))

    def publish(self, unit: Unit) -> Manifest:
        """Copy the world's, which is made once for all runs beside each other, at `<prefix>/cache/references`."""
        started = time.time()
        shared = Unit(unit.store.at("../cache"), f"references/{self.digest()}", VERSION, unit.settings, {})
        made = shared.finished() or self._make(shared)
        with tempfile.TemporaryDirectory(prefix="nashflow-reference-") as scratch:
            made.fetch(shared.store, Path(scratch))
            return unit.publish_folder(Path(scratch), made.metrics, started, weights_digest=made.weights_digest)

    def _make(self, unit: Unit) -> Manifest:
        started = time.time()
        with tempfile.TemporaryDirectory(prefix="nashflow-reference-") as scratch:
            fit = make_reference(Path(scratch), self.world)
            figures, digest = {"kl_to_target": fit.kl, "mass_outside": fit.mass_outside}, weights_digest(Path(scratch))
            return unit.publish_folder(Path(scratch), figures, started, weights_digest=digest)


class FolderPolicy(PolicySettings, TemplateSettings):
    """A Hugging Face model folder with safetensors and a chat template, or the policy of another run."""

    kind: Literal["folder"] = "folder"
    model: str
    """The model folder, which every step must be able to read. Or `run:RUN_ROOT@3`: the policy of iteration 3 of the
    run under that root, local or in S3; without `@3`, its last policy. Or `models:/NAME@champion`, `models:/NAME/3`: a
    version of a registered model of MLflow's; a run keeps the one that its first preparation has found, and takes the
    `reference` where there is none yet."""
    reference: str = Field("", exclude_if=lambda named: not named)
    """The reference policy π_ref, named likewise, where training starts from another policy, such as a champion, whose
    tokenizer it must have; empty: it is `model`."""
    copy_files: bool = False
    """Copy the files under the run root; otherwise only their path and digests are recorded."""

    _setting: str = PrivateAttr("policy.model")

    def at(self, model: str) -> "FolderPolicy":
        """The same settings for another folder."""
        return self._with(model, self.reference)

    def _with(self, model: str, reference: str = "") -> "FolderPolicy":
        # Anew: a copy would have what this one has looked up.
        return FolderPolicy.model_validate({**self.model_dump(), "model": model, "reference": reference})

    @cached_property
    def reference_policy(self) -> "FolderPolicy | None":
        """`reference`, if it is set."""
        if not self.reference:
            return None
        made = self._with(self.reference)
        made._setting = "policy.reference"
        return made

    @cached_property
    def _of_run(self) -> tuple[Store, str] | None:
        """The run of the policy that `model` names, and the policy's reference there.

        Raises:
            UserError: there is none.
        """
        try:
            if self.model.startswith(_RUN):
                return find(self.model.removeprefix(_RUN))
            if self.model.startswith(_REGISTERED):
                version = Registry.named(self.model)
                version.manifest()
                return version.store(), version.policy
        except UserError as error:
            raise UserError(f"{self._setting} {self.model}: {error}") from None
        return None

    @cached_property
    def folder(self) -> Path:
        """`model` as a path; a policy of another run in S3 is downloaded."""
        return open_policy(*self._of_run).folder if self._of_run else Path(self.model)

    def parameters(self) -> float | None:
        """As its configuration has it, where that lies on this machine."""
        try:
            if self.model.startswith(_RUN) and "://" in self.model:
                return None
            place = place_of(*self._of_run) if self._of_run else str(self.folder)
        except (UserError, TryAgain):
            if self.model.startswith(_REGISTERED):  # the registry is the cluster's
                return None
            raise
        return None if "://" in place else parameters_of(Path(place))

    @property
    def named(self) -> str:
        """`model`."""
        return self.model

    @property
    def paths(self) -> tuple[str, ...]:
        """Those of `model` and `reference` that are folders."""
        names = (self.model, self.reference)
        return tuple(name for name in names if name and not name.startswith((_RUN, _REGISTERED)))

    @property
    def copied(self) -> bool:
        """As `copy_files` says."""
        return self.copy_files

    def check(self) -> None:
        """Refuse a folder that cannot be opened, or has no chat template or no token that ends a response; and a
        reference of another tokenizer."""
        check_model_folder(self.folder)
        require_chat_template(self.folder)
        check_causal_lm(self.folder)
        _ = Dialogues(load_tokenizer(self.folder), self, date.today().isoformat()).stop_ids
        if self.reference_policy:
            self.reference_policy.check()
            _require_same_tokens(self.folder, self.reference_policy.folder)

    def digest(self) -> str:
        """Digest of the whole policy: weights, configuration, tokenizer, chat template."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return policy_digest(self.folder)

    def claim(self, store: Store) -> None:
        """Note it where they are another run's."""
        if self.copy_files:
            return
        claim(place_of(*self._of_run) if self._of_run else str(self.folder.resolve()), store)
        if self._of_run:
            other, reference = self._of_run
            if missing := not_kept(other, require_manifest(other, f"{layout.POLICIES}/{reference}")):
                raise UserError(missing)
        if self.reference_policy:
            self.reference_policy.claim(store)

    def publish(self, unit: Unit) -> Manifest:
        """Copy the files, or point to them where every step finds them: the folder, or the other run's store."""
        if self._of_run and not self.copy_files:
            store, reference = self._of_run
            made = require_manifest(store, f"{layout.POLICIES}/{reference}")
            source, digest = made.source or store.uri, made.weights_digest
            return unit.publish(made.files, {}, time.time(), source=source, weights_digest=digest)
        folder, started = self.folder.resolve(), time.time()
        weights = weights_digest(folder)
        if self.copy_files:
            return unit.publish_folder(folder, {}, started, weights_digest=weights)
        return unit.publish_pointer(folder, files_read(folder), {}, started, weights_digest=weights)

    def settled(self, before: Mapping[str, Any]) -> "FolderPolicy":
        """With the iteration, where a run is named, whose last policy changes when it is extended, and with the
        version's number, where an alias is; that of `before` where the alias has moved since."""
        reference = self.reference_policy
        anchor = reference._settled_name(before.get("reference", "")) if reference else ""
        model = self._settled_name(before.get("model", ""), anchor)
        anchor = "" if anchor == model else anchor
        return self if (model, anchor) == (self.model, self.reference) else self._with(model, anchor)

    def _settled_name(self, before: str, otherwise: str = "") -> str:
        """`model` as above; `otherwise` where it is an alias that names nothing yet."""
        if alias := _ALIAS.fullmatch(self.model):
            if before and (before.startswith(f"{_REGISTERED}{alias[1]}/") or before == otherwise):
                return before
            if otherwise and Registry.open(alias[1]).aliased(alias[2]) is None:
                return otherwise
            return Registry.named(self.model).uri
        if self.model.startswith(_RUN) and self._of_run and not re.search(r"@\d+$", self.model):
            return f"{self.model}@{int(self._of_run[1].partition('/')[0])}"
        return self.model

    def joined(self) -> "FolderPolicy":
        """By their digests."""
        reference = self.reference_policy
        return self._with(self.model) if reference and reference.digest() == self.digest() else self

    def positions(self) -> float:
        """As its configuration has it; the reference reads the same."""
        own = longest_input(read_config(self.folder)) or math.inf
        return min(own, self.reference_policy.positions()) if self.reference_policy else own


def _require_same_tokens(folder: Path, reference: Path) -> None:
    """Raise unless two tokenizers have one vocabulary: log-probabilities of the same tokens are compared."""
    ours, theirs = (load_tokenizer(each).get_vocab() for each in (folder, reference))
    if differing := sorted(ours.items() ^ theirs.items(), key=lambda entry: (entry[1], entry[0])):
        token, number = differing[0]
        where = folder if ours.get(token) == number else reference
        raise UserError(
            f"policy.reference: the tokenizer of {reference} is another one than that of {folder}, from which training "
            f"starts: token {number} is {token!r} in {where} alone; name a reference with the same tokenizer"
        )


POLICIES = Variants("nashflow.policies", PolicySettings, SandboxPolicy, FolderPolicy)
AnyPolicy = Annotated[PolicySettings, POLICIES]
