"""The reference policy, π_ref = policy 000/main: `AnyPolicy` is the recipe's `policy`, told apart by its `kind`."""

import json
import math
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Literal

from ..core.digests import digest_json
from ..core.settings import Variant
from ..core.variants import Variants
from ..games.sandbox.reference import make_reference
from ..games.sandbox.settings import WorldSettings
from ..models.folders import check_loadable, check_model_folder, require_chat_template, weights_digest
from ..models.size import parameters_of
from ..storage import layout
from ..storage.store import Store
from ..storage.units import Manifest, Unit

VERSION = 1


class PolicySettings(Variant, ABC):
    """What every starting policy's settings can do; group of entry points: `nashflow.policies`."""

    @property
    def own_world(self) -> WorldSettings | None:
        """The sandbox world that the policy plays, if it does."""
        return None

    @property
    def folder(self) -> Path | None:
        """The model folder that it is, where it is one before the run begins."""
        return None

    @property
    def copied(self) -> bool:
        """Whether its files come to lie under the run root."""
        return True

    def parameters(self) -> float | None:
        """How many it has; None where that cannot be read here."""
        return parameters_of(self.folder) if self.folder else None

    def at(self, model: str) -> "FolderPolicy":
        """The policy in another model folder."""
        return FolderPolicy(model=model)

    def positions(self) -> float:
        """How many tokens the model takes; infinitely many where that is not known."""
        return math.inf

    @abstractmethod
    def check(self) -> None:
        """Refuse, with a UserError, what cannot be brought in."""

    @abstractmethod
    def digest(self) -> str:
        """Identity of what the settings name: equal digests, equal policies."""

    @abstractmethod
    def publish(self, unit: Unit) -> Manifest:
        """Publish the policy as the unit."""

    def bring_in(self, store: Store, named: str) -> Manifest:
        """Publish the reference policy, whose `digest` is `named`, unless it is there already."""
        unit = Unit(store, layout.policy(0, "main"), VERSION, self.model_dump(mode="json"), {"named": named})
        return unit.finished() or self.publish(unit)


class SandboxPolicy(PolicySettings):
    """The sandbox world's reference policy, made on the spot."""

    kind: Literal["sandbox"] = "sandbox"
    world: WorldSettings = WorldSettings()
    """Which world."""

    @property
    def own_world(self) -> WorldSettings | None:
        """The world."""
        return self.world

    def parameters(self) -> float:
        """Those of its small Llama."""
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


class FolderPolicy(PolicySettings):
    """A Hugging Face model folder with safetensors and a chat template."""

    kind: Literal["folder"] = "folder"
    model: str
    """The folder; every step has to see it."""
    copy_files: bool = False
    """Copy the folder under the run root, rather than pointing to it by its digests."""

    def at(self, model: str) -> "FolderPolicy":
        """The same settings for another folder."""
        return self.model_copy(update={"model": model})

    @property
    def folder(self) -> Path:
        """`model` as a path."""
        return Path(self.model)

    @property
    def copied(self) -> bool:
        """As `copy_files` says."""
        return self.copy_files

    def check(self) -> None:
        """Refuse a folder that cannot be opened, or has no chat template."""
        check_model_folder(self.folder)
        require_chat_template(self.folder)
        check_loadable(self.folder)

    def digest(self) -> str:
        """Digest of the folder's weights."""
        return weights_digest(self.folder)

    def publish(self, unit: Unit) -> Manifest:
        """Copy the folder, or point to it."""
        publish, digest = unit.publish_folder if self.copy_files else unit.publish_pointer, unit.inputs["named"]
        return publish(self.folder.resolve(), {}, time.time(), weights_digest=digest)

    def positions(self) -> float:
        """As its configuration has it."""
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return float(config.get("max_position_embeddings", math.inf))


POLICIES = Variants("nashflow.policies", PolicySettings, SandboxPolicy, FolderPolicy)
AnyPolicy = Annotated[PolicySettings, POLICIES]
