"""`nashflow promote`: the gate that the step promotion is, for a policy of a run that has ended."""

import copy
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from nashflow.components.core.errors import Pending, UserError
from nashflow.components.core.overrides import override
from nashflow.components.models.named import find
from nashflow.components.notifications.messages import of_decision
from nashflow.components.notifications.sending import notify
from nashflow.components.notifications.settings import NotificationSettings
from nashflow.components.promotion.gate import Promotion
from nashflow.components.promotion.settings import PromotionStep
from nashflow.components.recipe import Recipe
from nashflow.components.runtime.protocol import Call, pin_threads, terminate
from nashflow.components.runtime.voice import log_format, speaking
from nashflow.components.storage import layout
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import Store
from nashflow.components.tracking.tracker import Tracker

from ..run import locked, tracking_beside
from ..tables import print_place
from ..terminal import terminal


def promote_policy(named: str, settings: Sequence[str], as_json: bool) -> None:
    """Decide about the present champion, and print the decision.

    Raises:
        UserError: there is no such policy, or a wrong setting, or what the gate refuses.
        TryAgain: another run is at the gate, or MLflow does not answer.
    """
    store, reference = find(named)
    os.environ["MLFLOW_TRACKING_URI"] = os.environ.get("MLFLOW_TRACKING_URI") or tracking_beside(store)
    step = _settings(require_run(store).recipe, settings)
    step.rollout.engine.require_here()
    step.oracle.require_here()
    pin_threads(step.run.threads)
    signal.signal(signal.SIGTERM, terminate)
    iteration = int(reference.partition("/")[0])
    place = {"step": "promotion", "iteration": iteration, "shard": 0, "phase": ""}
    with locked(store), speaking(place, log_format("text")):
        promotion = Promotion(Call(store, iteration, "", 0, step))
        try:
            manifest, _ = promotion.decide()
        except Pending as error:
            raise UserError(f"{error}; then run the same command again") from None
    contents = {name: manifest.read(store, name) for name in manifest.files}
    Tracker.of(store).report(contents)
    tell_of_decision(store)
    (said,) = (data.decode() for name, data in contents.items() if name.endswith(".json"))
    if as_json:
        print(said)
        return
    console = terminal()
    console.print(json.loads(said)["line"], soft_wrap=True)
    (page,) = (file.key for file in manifest.files.values() if file.key.endswith(".html"))
    print_place(console, "report", store.location(page))


def tell_of_decision(store: Store) -> None:
    """Tell the webhooks of a run's recipe what was decided; one that fails is a warning."""
    run = require_run(store)
    webhooks = NotificationSettings.parse(run.recipe.get("notifications", {}), layout.RUN).webhooks
    for line in notify(webhooks, of_decision("", store, run), store):
        print(f"nashflow: warning: {line}", file=sys.stderr)


def _settings(recipe: Mapping[str, Any], changes: Sequence[str]) -> PromotionStep:
    """What the step reads of a run's recipe with changes."""
    data = copy.deepcopy(dict(recipe))
    override(data, changes, Recipe)
    changed = Recipe.parse(data, "promote")
    if not changed.promotion.model:
        raise UserError("the run's recipe names no registered model: give --model NAME")
    return PromotionStep.parse(changed.model_dump(mode="json"), "promote")
