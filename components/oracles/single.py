"""`SingleOracle`: the settings of every oracle that has no others for members. `CheapOracle`: of those that read each
response once, or need no model."""

from typing import Annotated

from ..core.variants import Variants
from .armorm.settings import ArmoRM
from .embedding.settings import Embedding
from .fitted.oracle import Fitted
from .human.settings import Human
from .llm_judge.settings import LLMJudge
from .oracle_settings import OracleSettings
from .pair_preference.settings import PairPreference
from .pairrm.settings import PairRM
from .reward_model.settings import RewardModel
from .rules.settings import Rules
from .sandbox.settings import SandboxOracle

GROUP = "nashflow.oracles"
SINGLE: tuple[type[OracleSettings], ...] = (
    SandboxOracle,
    RewardModel,
    PairPreference,
    Embedding,
    ArmoRM,
    PairRM,
    LLMJudge,
    Rules,
    Human,
    Fitted,
)

SingleOracle = Annotated[OracleSettings, Variants(GROUP, OracleSettings, *SINGLE)]
CheapOracle = Annotated[
    OracleSettings, Variants(GROUP, OracleSettings, SandboxOracle, RewardModel, Embedding, ArmoRM, Rules, Fitted)
]
