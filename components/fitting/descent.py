"""How the weights of a model are moved: by AdamW, in this process alone or in several that share the work."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from .settings import FittingSettings

T = TypeVar("T")
Tensors = Mapping[str, "torch.Tensor"]
MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's names for its state of a weight, besides the number of updates."""
WEIGHT = "weight"


class Descent(ABC):
    """The weights of a model on their way: what a training does to them, as one of `ranks` processes."""

    optimizer: "torch.optim.Optimizer"
    """A schedule sets its learning rate."""
    rank: int = 0
    ranks: int = 1

    @abstractmethod
    def forward(self, compute: Callable[[list[int]], T], indices: list[int]) -> T:
        """What a function says that runs the model; all ranks call this equally often."""

    @abstractmethod
    def backward(self, loss: "torch.Tensor", last: bool) -> None:
        """Add the gradient of a loss, a part of an update's; the update's is the sum over its parts and ranks.

        `last`: whether it is this rank's last part of the update.
        """

    @abstractmethod
    def step(self) -> float:
        """Clip the gradient, move the weights; the gradient's norm before. Where it is not finite, training ends."""

    @abstractmethod
    def gathered(self, values: Sequence[float]) -> NDArray[np.float64]:
        """The values of every rank, (ranks, values)."""

    @abstractmethod
    def state(self) -> Iterator[tuple[str, Tensors]]:
        """The name of each weight that is trained, and copies of it and of its moments, in float32 on the CPU."""

    @abstractmethod
    def load_state(self, updates: int, read: Callable[[int, str], tuple[int, Tensors]]) -> None:
        """Take over the state after so many updates.

        Args:
            updates: how many.
            read: of the n-th weight and its name: the rank that knows its tensors, and those, if it is this one.
        """

    @abstractmethod
    def load_weights(self, read: Callable[[], Tensors]) -> None:
        """Take over weights in float32 by their names, trained or not; others stay. Rank 0 reads them, a
        number for a weight that is the same throughout."""

    @abstractmethod
    def whole(self, opened: Callable[[], "PreTrainedModel"]) -> "PreTrainedModel | None":
        """The model with its weights in float32, on rank 0; `opened` gives one with any weights."""


class Local(Descent):
    """In this process alone, every weight in the model's own precision."""

    def __init__(self, model: "PreTrainedModel", settings: "FittingSettings") -> None:
        self._model, self._clip = model, settings.max_gradient_norm
        self.optimizer = adamw(model, settings)

    def forward(self, compute: Callable[[list[int]], T], indices: list[int]) -> T:
        """As it is."""
        return compute(indices)

    def backward(self, loss: "torch.Tensor", last: bool) -> None:
        """By torch."""
        loss.backward()

    def step(self) -> float:
        """By torch."""
        import torch

        norm = float(torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._clip))
        if math.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def gathered(self, values: Sequence[float]) -> NDArray[np.float64]:
        """One row."""
        return np.array([values], np.float64)

    def state(self) -> Iterator[tuple[str, Tensors]]:
        """As they are."""
        import torch

        for name, parameter in trained(self._model):
            # AdamW has none of a weight that no loss depends on, as a vision tower's.
            moments = self.optimizer.state.get(parameter) or dict.fromkeys(MOMENTS, torch.zeros_like(parameter))
            tensors = {WEIGHT: parameter, **{key: moments[key] for key in MOMENTS}}
            yield name, {key: value.detach().clone().cpu() for key, value in tensors.items()}

    def load_state(self, updates: int, read: Callable[[int, str], tuple[int, Tensors]]) -> None:
        """Copy them."""
        import torch

        for place, (name, parameter) in enumerate(trained(self._model)):
            _, tensors = read(place, name)
            with torch.no_grad():
                parameter.copy_(tensors[WEIGHT])
            moments = {key: tensors[key].to(parameter.device) for key in MOMENTS}
            self.optimizer.state[parameter] = {"step": torch.tensor(float(updates)), **moments}

    def load_weights(self, read: Callable[[], Tensors]) -> None:
        """Copy them."""
        import torch

        own = self._model.state_dict()
        with torch.no_grad():
            for name, tensor in read().items():
                own[name].copy_(tensor)

    def whole(self, opened: Callable[[], "PreTrainedModel"]) -> "PreTrainedModel | None":
        """The model itself."""
        return self._model


def adamw(model: Any, settings: "FittingSettings") -> "torch.optim.AdamW":
    """AdamW over what is trained of a model."""
    import torch

    weights = [parameter for _, parameter in trained(model)]
    return torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def trained(model: "PreTrainedModel") -> Iterator[tuple[str, "torch.nn.Parameter"]]:
    """The parameters that are trained, by name: with an adapter, its own."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
