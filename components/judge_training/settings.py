"""Settings of the step that fits judges."""

from ..core.settings import Part
from ..oracles.fitted.settings import JudgeSettings
from ..oracles.oracle_settings import judges_of
from ..oracles.settings import AnyOracle
from ..oracles.single import CheapOracle
from ..runtime.protocol import StepSettings


class Judging(Part):
    """The part of the recipe's `judging` section that it reads."""

    seeding: CheapOracle | None = None


class JudgeTrainingStep(StepSettings):
    """Everything the step reads: the oracles, some of which may name judges to fit."""

    oracle: AnyOracle
    judging: Judging = Judging()

    @property
    def judges(self) -> dict[str, JudgeSettings]:
        """The judges to fit, by their names."""
        return judges_of([self.oracle, *([self.judging.seeding] if self.judging.seeding else [])])
