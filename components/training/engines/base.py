"""Interface of the training engines, and the setting that all of them have."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ...core.errors import UserError
from ...core.runtimes import Runtime
from ...core.settings import Variant
from ...methods.phases import Phase
from ...models.folders import Dtype
from ..data import PairData
from ..loop import Trainer

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel

    from ..settings import TrainingSettings


class TrainingEngine(Variant, ABC):
    """Interface of all training engines; group of entry points: `nashflow.engines`."""

    runtime: ClassVar[Runtime] = "steps"
    """Whose image it needs."""
    several: ClassVar[bool] = False
    """Whether it trains in several processes that share the work."""
    gradient_checkpointing: bool = Field(False, exclude_if=lambda value: not value)
    """Keep the hidden states between a model's layers alone, and compute what is inside of a layer again in the
    backward pass: less memory, a third more time. It changes nothing else."""

    @property
    def dtype(self) -> Dtype:
        """Precision of its forward passes; the weights that the optimiser moves are float32 with every engine."""
        return "float32"

    @abstractmethod
    def check(self) -> None:
        """Refuse, with a UserError, an engine that is not available here."""

    @abstractmethod
    def require_here(self) -> None:
        """Refuse, with a UserError, an engine that is not installed on this machine."""

    def check_model(self, model: "PreTrainedModel") -> None:
        """Refuse a model that cannot be trained so, whose weights need not be there.

        Raises:
            UserError: it has no gradient checkpointing.
        """
        if self.gradient_checkpointing and not model.supports_gradient_checkpointing:
            raise UserError(
                f"the model in {model.name_or_path} ({model.config.model_type}) has no gradient checkpointing: set "
                "training.engine.gradient_checkpointing to false"
            )

    @abstractmethod
    def open(
        self, start: Path, phase: Phase, data: PairData, settings: "TrainingSettings", seed: tuple[int | str, ...]
    ) -> Trainer:
        """A training of the policy in the folder `start` on a phase's pairs; their order is a function of `seed`."""

    def opened(self, start: Path, settings: "TrainingSettings", seed: tuple[int | str, ...]) -> "PreTrainedModel":
        """The model that is trained, in the engine's precision."""
        model = settings.adapter.open(start, self.dtype, seed)
        self.check_model(model)
        settings.layout.check(model)
        if self.gradient_checkpointing:
            _keep_little(model)
        return model


def _keep_little(model: "PreTrainedModel") -> None:
    """Switch gradient checkpointing on. transformers does it in layers that are in training, as only the layers
    themselves become here, until they compute: dropout stays off, in them and inside of them.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    def rest(module: "Module", *_: object) -> None:
        module.training = False

    def wait(module: "Module", *_: object) -> None:
        module.training = True

    model.gradient_checkpointing_enable({"use_reentrant": False})
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.training = True
            module.register_forward_pre_hook(rest)
            module.register_forward_hook(wait, always_call=True)
