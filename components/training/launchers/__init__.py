"""The launchers: `AnyLauncher` is the recipe's `training.launcher`, told apart by its `kind`."""

from typing import Annotated

from ...core.variants import Variants
from .base import Launcher
from .process import Process
from .torchrun import Torchrun

LAUNCHERS = Variants("nashflow.launchers", Launcher, Process, Torchrun)
AnyLauncher = Annotated[Launcher, LAUNCHERS]
