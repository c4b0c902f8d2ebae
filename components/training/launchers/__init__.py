"""The launchers: `AnyLauncher` is the recipe's `training.launcher`, told apart by its `kind`."""

from typing import Annotated

from ...core.variants import Variants
from .base import Launcher
from .process import Process
from .torchrun import Torchrun
from .trainjob.launcher import TrainJob

LAUNCHERS = Variants("nashflow.launchers", Launcher, Process, Torchrun, TrainJob)
AnyLauncher = Annotated[Launcher, LAUNCHERS]
