"""The head of ArmoRM: rewards by objectives, weighed by a gating network that has seen the prompt."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..heads import read_head, require_shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REGRESSION, _TRANSFORM, _SCALE = "regression_layer.weight", "reward_transform_matrix", "gating.logit_scale"


@dataclass(frozen=True)
class Head:
    """Of n objectives, 19 in the published model."""

    regression: "NDArray[np.float64]"
    """(n, hidden)."""
    transform: "NDArray[np.float64]"
    """(n, n): takes what verbosity adds to the other objectives away."""
    layers: "list[tuple[NDArray[np.float64], NDArray[np.float64]]]"
    """Weights and biases of the gating network, with ReLU between them."""
    temperature: float
    scale: float
    """What the weights of the objectives add up to."""

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """The head in a folder's weights, with the sizes that its configuration gives."""
        found = read_head(folder, list(shapes(config)))
        names = [f"gating.layers.{layer}" for layer in _depth(config)]
        layers = [(found[f"{name}.weight"], found[f"{name}.bias"]) for name in names]
        return cls(
            found[_REGRESSION],
            found[_TRANSFORM],
            layers,
            float(config.get("gating_temperature", 10)),
            float(found[_SCALE][0]),
        )

    def rewards(self, states: "NDArray[np.float64]", prompts: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Rewards of answers, (answers,), by the hidden states at their ends and at the ends of their prompts."""
        objectives = states @ self.regression.T @ self.transform
        weighed: NDArray[np.float64] = (self.weights(prompts) * objectives).sum(1)
        return weighed

    def weights(self, prompts: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """The weights of the objectives, (prompts, n)."""
        *inner, (last, bias) = self.layers
        for weight, offset in inner:
            prompts = np.maximum(prompts @ weight.T + offset, 0)
        logits = (prompts @ last.T + bias) / self.temperature
        raised = np.exp(logits - logits.max(1, keepdims=True))
        weights: NDArray[np.float64] = self.scale * raised / raised.sum(1, keepdims=True)
        return weights


def _depth(config: Mapping[str, Any]) -> range:
    return range(int(config.get("gating_n_hidden", 3)) + 1)


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The head's tensors, with the shapes that a configuration gives them."""
    objectives = int(config.get("num_objectives", 19))
    width, hidden = int(config.get("gating_hidden_dim", 1024)), int(config["hidden_size"])
    widths = [hidden, *[width] * (len(_depth(config)) - 1), objectives]
    gating = {
        f"gating.layers.{layer}.{part}": shape
        for layer, (into, out) in enumerate(pairwise(widths))
        for part, shape in (("weight", (out, into)), ("bias", (out,)))
    }
    return {
        _REGRESSION: (objectives, hidden),
        _TRANSFORM: (objectives, objectives),
        _SCALE: (1,),
        **gating,
    }


def check_head(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse a folder without the head that its configuration describes.

    Raises:
        UserError: says what is wrong.
    """
    require_shapes(folder, "ArmoRM", shapes(config))
