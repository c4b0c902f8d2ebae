"""The engines that train: `AnyTrainingEngine` is the recipe's `training.engine`, told apart by its `kind`."""

from typing import Annotated

from ...core.variants import Variants
from .base import TrainingEngine
from .deepspeed import DeepSpeed
from .torch import Torch

TRAINING_ENGINES = Variants("nashflow.engines", TrainingEngine, Torch, DeepSpeed)
AnyTrainingEngine = Annotated[TrainingEngine, TRAINING_ENGINES]
