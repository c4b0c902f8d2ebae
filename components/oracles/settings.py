"""Settings of the oracles: `AnyOracle` is the recipe's `oracle` section, told apart by its `kind`."""

from typing import Annotated

from ..core.variants import Variants
from .llm_judge.settings import LLMJudge
from .oracle_settings import OracleSettings
from .pair_preference.settings import PairPreference
from .reward_model.settings import RewardModel
from .sandbox.settings import SandboxOracle

AnyOracle = Annotated[
    OracleSettings, Variants("nashflow.oracles", OracleSettings, SandboxOracle, RewardModel, PairPreference, LLMJudge)
]
