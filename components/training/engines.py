"""The engines that train: `AnyTrainingEngine` is the recipe's `training.engine`, told apart by its `kind`."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NoReturn

from ..core.errors import UserError
from ..core.runtimes import Runtime
from ..core.settings import Variant
from ..core.variants import Variants
from ..methods.phases import Phase
from ..models.folders import Dtype
from .data import PairData
from .loop import Trainer

if TYPE_CHECKING:
    from .settings import TrainingSettings


class TrainingEngine(Variant, ABC):
    """Interface of all training engines; group of entry points: `nashflow.engines`."""

    runtime: ClassVar[Runtime] = "steps"
    """Whose image it needs."""
    several_nodes: ClassVar[bool] = False
    """Whether it trains on several nodes at once, through Kubeflow Trainer, where the cluster's profile says so."""
    dtype: ClassVar[Dtype] = "float32"
    """Precision of its forward passes; the weights that the optimiser moves are float32 with every engine."""

    @abstractmethod
    def check(self) -> None:
        """Refuse, with a UserError, an engine that is not available here."""

    @abstractmethod
    def open(
        self, start: Path, phase: Phase, data: PairData, settings: "TrainingSettings", seed: tuple[int | str, ...]
    ) -> Trainer:
        """A training of the policy in the folder `start` on a phase's pairs; their order is a function of `seed`."""


class Torch(TrainingEngine):
    """One process, on CPU or one GPU."""

    kind: Literal["torch"] = "torch"

    def check(self) -> None:
        """Nothing to refuse: torch comes with the steps."""

    def open(
        self, start: Path, phase: Phase, data: PairData, settings: "TrainingSettings", seed: tuple[int | str, ...]
    ) -> Trainer:
        """The policy in float32 in this process."""
        model = settings.adapter.open(start, "float32", seed)
        settings.layout.check(model)
        return Trainer(model, phase, data, settings, seed)


class DeepSpeed(TrainingEngine):
    """DeepSpeed's ZeRO, on several accelerators."""

    kind: Literal["deepspeed"] = "deepspeed"
    runtime: ClassVar[Runtime] = "training"
    several_nodes: ClassVar[bool] = True
    dtype: ClassVar[Dtype] = "bfloat16"

    def check(self) -> NoReturn:
        """Refuse it: this version has no training by DeepSpeed."""
        raise UserError(
            "training.engine: deepspeed is not available here; set it to torch, and logprobs.dtype to float32"
        )

    def open(
        self, start: Path, phase: Phase, data: PairData, settings: "TrainingSettings", seed: tuple[int | str, ...]
    ) -> Trainer:
        """Refuse it, too."""
        self.check()


TRAINING_ENGINES = Variants("nashflow.engines", TrainingEngine, Torch, DeepSpeed)
AnyTrainingEngine = Annotated[TrainingEngine, TRAINING_ENGINES]
