"""Settings of the judging step."""

from typing import Self

from pydantic import Field, model_validator

from ..core.settings import Settings
from ..methods import AnyMethod
from ..methods.base import Method
from ..oracles.oracle_settings import OracleSettings, require_memory
from ..oracles.settings import AnyOracle
from ..oracles.single import CheapOracle
from ..runtime.protocol import StepSettings
from .guards import GuardSettings


class ReuseSettings(Settings):
    """Comparisons that the same oracle has made in earlier runs, whose pairs are trained on beside the new ones. They
    are of other policies than the one that is sampled: see docs/retraining.md."""

    runs: tuple[str, ...] = ()
    """Run roots."""
    earlier: int = Field(0, ge=0)
    """So many more: the newest runs of the same run.name beside this one that have succeeded. A run keeps those that it
    has found first."""
    per_iteration: int = Field(ge=1)
    """Number of comparisons of each iteration, each with other ones, as long as there are any."""

    @model_validator(mode="after")
    def _of_some_run(self) -> Self:
        if not self.runs and not self.earlier:
            raise ValueError("names no run: set runs to run roots, or earlier to a number of runs of the same name")
        return self


class JudgingSettings(Settings):
    """The recipe's `judging` section: how comparisons become pairs."""

    drop_identical: bool = True
    """Drop pairs of two identical responses, which carry no gradient."""
    batch_prompts: int = Field(64, ge=1)
    """Number of prompts whose tournaments are played at the same time, at least: more are where their comparisons do
    not keep the oracle busy. A kill loses one call to the oracle: with fewer prompts it loses less."""
    length_ratio: float | None = Field(None, ge=1.0)
    """Drop pairs in which one response has more than this many times the tokens of the other; null: none."""
    guards: GuardSettings = GuardSettings()
    reuse: ReuseSettings | None = Field(None, exclude_if=lambda reuse: reuse is None)
    """Comparisons of earlier runs as further data; null: none."""
    seeding: CheapOracle | None = None
    """A cheap oracle that ranks the responses to each prompt, all against all, for `method.comparisons: seeded`."""


class JudgingStep(StepSettings):
    """Everything the judging step reads."""

    method: AnyMethod
    oracle: AnyOracle
    judging: JudgingSettings

    @property
    def oracles(self) -> dict[str, OracleSettings]:
        """The oracles that are asked; see `judges`."""
        return judges(self.oracle, self.judging)


def judges(oracle: OracleSettings, judging: JudgingSettings) -> dict[str, OracleSettings]:
    """The oracles of a recipe by what they are: the `oracle`, and where one ranks responses first, the `seeding`."""
    return {"oracle": oracle} | ({"seeding": judging.seeding} if judging.seeding else {})


def check_labels(method: Method, oracle: OracleSettings) -> None:
    """Labels that are scores come from an oracle that has such.

    Raises:
        ValueError: it has none.
    """
    if any(phase.labels == "score" for phase in method.phases(1)) and not oracle.scores:
        raise ValueError(
            f"method.labels is score, but verdicts of oracle.kind {oracle.kind} have no scores: set method.labels to "
            "soft, or oracle to a reward model or an embedding"
        )


_MEASURED_APART = ("iid", "bracket", "seeded", "all_pairs", "max_min")
"""Kinds of comparisons whose pairs are labelled by the verdict on the two alone."""


def check_reuse(method: Method, oracle: OracleSettings, judging: JudgingSettings) -> None:
    """What earlier runs have recorded is all that the method needs of a comparison.

    Raises:
        ValueError: it needs more, or the oracle is never that of an earlier run.
    """
    if judging.reuse is None:
        return
    phases = [phase for phase in method.phases(1) if not phase.data_from]
    if apart := [phase.comparisons for phase in phases if phase.comparisons not in _MEASURED_APART]:
        raise ValueError(
            f"judging.reuse: with method.comparisons {apart[0]} a response is measured against others of the same "
            f"policy, which one comparison cannot tell: set that to {' or '.join(_MEASURED_APART)}, or leave reuse out"
        )
    if any(phase.labels == "score" for phase in phases):
        raise ValueError("judging.reuse: scores are not recorded: set method.labels to soft, or leave reuse out")
    if oracle.judges:
        raise ValueError(
            "judging.reuse: every run fits this oracle anew, so that no earlier run has asked it: set oracle to the "
            "folder of a judge that a run has fitted (RUN_ROOT/judges/…), or leave reuse out"
        )


def check_seeding(method: Method, oracle: OracleSettings, judging: JudgingSettings) -> None:
    """Seeded brackets and the oracle that seeds them belong together.

    Raises:
        ValueError: one of them is missing, or it judges another world, or the two do not fit into memory together.
    """
    seeded, seeding = any(phase.comparisons == "seeded" for phase in method.phases(1)), judging.seeding
    if seeded and not seeding:
        raise ValueError(
            "method.comparisons is seeded, but nothing ranks the responses: set judging.seeding to a cheap oracle, or "
            "method.comparisons to bracket"
        )
    if seeding and not seeded:
        raise ValueError("judging.seeding is for method.comparisons: seeded alone: set that, or remove judging.seeding")
    if seeding and seeding.responses_read > 1:
        raise ValueError(
            "judging.seeding reads pairs of responses, which is as dear as the brackets: set it to an oracle that "
            "reads each response once, such as a judge of kind reward_model"
        )
    if seeding and seeding.own_world and seeding.own_world != oracle.own_world:
        raise ValueError("judging.seeding judges another world than the oracle: set it to another oracle")
    require_memory(judges(oracle, judging))
