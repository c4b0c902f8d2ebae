"""The reference policy, π_ref = policy 000/main: made, copied or pointed to."""

import json
import math
import tempfile
import time
from pathlib import Path

from ..core.digests import digest_json
from ..games.sandbox.reference import make_reference
from ..models.folders import check_loadable, check_model_folder, require_chat_template, weights_digest
from ..models.policies import point_to
from ..storage import layout
from ..storage.store import Store
from ..storage.units import Manifest, Unit
from .settings import AnyPolicy, FolderPolicy, SandboxPolicy

VERSION = 1


def check(policy: AnyPolicy) -> None:
    """Refuse a policy folder that cannot be opened, or has no chat template.

    Raises:
        UserError: names the folder and what is wrong with it.
    """
    if isinstance(policy, FolderPolicy):
        check_model_folder(Path(policy.model))
        require_chat_template(Path(policy.model))
        check_loadable(Path(policy.model))


def digest(policy: AnyPolicy) -> str:
    """The digest of what the policy's settings name: of a folder's weights, or of the sandbox world's settings."""
    if isinstance(policy, FolderPolicy):
        return weights_digest(Path(policy.model))
    return digest_json(policy.world.model_dump(mode="json"))


def positions(policy: FolderPolicy) -> float:
    """How many tokens the model takes; infinitely many where its configuration does not say."""
    config = json.loads((Path(policy.model) / "config.json").read_text(encoding="utf-8"))
    return float(config.get("max_position_embeddings", math.inf))


def bring_in(store: Store, policy: AnyPolicy, named: str) -> Manifest:
    """Publish the reference policy, whose `digest` is `named`, unless it is there already.

    A sandbox world's is made once for all runs beside each other, at `<prefix>/cache/references`.
    """
    unit = Unit(store, layout.policy(0, "main"), VERSION, policy.model_dump(mode="json"), {"named": named})
    if manifest := unit.finished():
        return manifest
    started = time.time()
    if isinstance(policy, FolderPolicy):
        folder, metrics = Path(policy.model).resolve(), {"weights": named}
        if policy.copy_files:
            return unit.publish_folder(folder, metrics, started)
        return point_to(unit, folder, metrics, started)
    shared = Unit(store.at("../cache"), f"references/{named}", VERSION, policy.model_dump(mode="json"), {})
    made = shared.finished() or _make(shared, policy)
    with tempfile.TemporaryDirectory(prefix="nashflow-reference-") as scratch:
        made.fetch(shared.store, Path(scratch))
        return unit.publish_folder(Path(scratch), made.metrics, started)


def _make(unit: Unit, policy: SandboxPolicy) -> Manifest:
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="nashflow-reference-") as scratch:
        fit = make_reference(Path(scratch), policy.world)
        figures = {"weights": weights_digest(Path(scratch)), "kl_to_target": fit.kl, "mass_outside": fit.mass_outside}
        return unit.publish_folder(Path(scratch), figures, started)
