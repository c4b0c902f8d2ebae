"""Settings of the oracles: `AnyOracle` is the recipe's `oracle` section, told apart by its `kind`."""

from typing import Annotated

from ..core.variants import Variants
from .mixture.settings import Mixture
from .oracle_settings import OracleSettings
from .single import GROUP, SINGLE

AnyOracle = Annotated[OracleSettings, Variants(GROUP, OracleSettings, *SINGLE, Mixture)]
