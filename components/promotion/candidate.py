"""Which policy of a run is the candidate, and on which held-out prompts it meets the champion."""

from collections.abc import Collection

from ..benchmarks.head_to_head import HeadToHead
from ..benchmarks.intervals import means_of
from ..core.errors import UserError
from ..iterations.units import Shape
from ..runtime.protocol import Call
from ..storage import layout
from ..storage.records import COMPARISONS, PROMPTS, Prompt
from ..storage.run import require_run
from ..storage.store import Store
from ..storage.units import require_manifest
from .contest import drawn
from .settings import PromotionStep


def chosen(call: Call[PromotionStep]) -> str:
    """The candidate's reference, as in `003/main`: of the last iteration, or of the best one.

    The best of several is chosen on other prompts than it is judged on: what chose it flatters it.
    """
    if call.settings.promotion.candidate == "last":
        return f"{call.iteration:03d}/main"
    choosing = {prompt["row_id"] for prompt in _halves(call)[0]}
    shape = Shape.of(require_run(call.store))
    there = [t for t in range(1, call.iteration + 1) if any(_against_reference(each) for each in shape.due(t))]
    return f"{max(there, key=lambda t: _win_rate(call.store, t, choosing)):03d}/main"


def prompts_of(call: Call[PromotionStep]) -> list[Prompt]:
    """The held-out prompts on which candidate and champion meet, in the order in which they do.

    Raises:
        UserError: there are none.
    """
    best = call.settings.promotion.candidate == "best"
    prompts = _halves(call)[1] if best else _held_out(call)
    if len(prompts) < 2:
        raise UserError(
            f"promotion: {len(prompts)} prompts are held out for it: set prompts.held_out to some hundreds, or "
            "evaluation.prompts to a set of their own, under a new run root"
        )
    return prompts


def _held_out(call: Call[PromotionStep]) -> list[Prompt]:
    return drawn(require_manifest(call.store, layout.held_out()).rows(call.store, PROMPTS), call.settings.run.seed)


def _halves(call: Call[PromotionStep]) -> tuple[list[Prompt], list[Prompt]]:
    """Those that the best policy is chosen by, and those that it meets the champion on."""
    prompts = _held_out(call)
    middle = len(prompts) // 2
    return prompts[:middle], prompts[middle:]


def _against_reference(benchmark: object) -> bool:
    return isinstance(benchmark, HeadToHead) and not benchmark.judge


def _win_rate(store: Store, iteration: int, rows: Collection[int]) -> float:
    """Against the reference, on some prompts."""
    manifest = require_manifest(store, layout.evaluation(iteration, HeadToHead.model_fields["kind"].default))
    compared = (row for row in manifest.rows(store, COMPARISONS) if row["row_id"] in rows and not row["abstained"])
    means = means_of((row["row_id"], row["probability"]) for row in compared)
    return sum(means) / len(means) if means else 0.0
