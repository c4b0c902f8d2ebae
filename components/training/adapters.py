"""What of a policy's weights is trained: `AnyAdapter` is the recipe's `training.adapter`, told apart by its `kind`.

An adapter lives in training alone: a published policy is an ordinary model folder, into which it is merged.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..core.errors import UserError
from ..core.seeds import derive_seed
from ..core.settings import Variant
from ..core.variants import Variants
from ..models.folders import Dtype, load_causal_lm

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_BASE = re.compile(r"(\.base_layer)+\.")
"""What peft puts into the names of the weights that it adapts."""
_FACTOR = ".lora_B."
"""What it puts into the names of the second factors of its products, which are zero at first."""


class Adapter(Variant, ABC):
    """Interface of all adapters; group of entry points: `nashflow.adapters`."""

    exact: ClassVar[bool] = True
    """Whether training starts from the very weights of the policy that it is given."""

    @abstractmethod
    def open(self, folder: Path, dtype: Dtype, seed: tuple[int | str, ...]) -> "PreTrainedModel":
        """The policy in a folder, of whose parameters those require gradients that are trained.

        Its weights are in `dtype`; what is drawn for it is a function of `seed`.
        """

    def check(self, model: "PreTrainedModel") -> None:
        """Refuse a model that cannot be trained so, whose weights need not be there; it is not for use afterwards.

        Raises:
            UserError: says what to set.
        """

    @abstractmethod
    def merge(self, model: "PreTrainedModel") -> None:
        """Make a trained model an ordinary one again, in place: it computes what it has computed before."""


class WholeWeights(Adapter):
    """None: every weight is trained."""

    kind: Literal["none"] = "none"

    def open(self, folder: Path, dtype: Dtype, seed: tuple[int | str, ...]) -> "PreTrainedModel":
        """The folder's model."""
        return load_causal_lm(folder, dtype)

    def merge(self, model: "PreTrainedModel") -> None:
        """Nothing to merge."""


class Lora(Adapter):
    """LoRA (arXiv 2106.09685), by peft: beside frozen matrices, products of two low-rank ones are trained."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(16, ge=1)
    """Rank of the products."""
    alpha: int = Field(32, ge=1)
    """Their scale times the rank."""
    targets: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
    """Names of the linear layers beside which they are trained, such as q_proj; all-linear: all of them but the
    language-model head."""

    def check(self, model: "PreTrainedModel") -> None:
        """Refuse targets that it has not, or that cannot be adapted."""
        self._adapted(model, ())

    def open(self, folder: Path, dtype: Dtype, seed: tuple[int | str, ...]) -> "PreTrainedModel":
        """The folder's model with products of zero beside it.

        Raises:
            UserError: it has no such layers.
        """
        return self._adapted(load_causal_lm(folder, dtype), seed)

    def merge(self, model: "PreTrainedModel") -> None:
        """Add the products to the weights beside which they were trained."""
        import torch
        from peft.tuners.tuners_utils import BaseTunerLayer

        adapted: list[tuple[str, Any]] = [
            (name, layer) for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)
        ]
        with torch.no_grad():
            # The innermost first: experts have several weights, and each is adapted around the one before.
            for name, layer in reversed(adapted):
                base = layer.get_base_layer()
                weight = getattr(base, getattr(layer, "parameter_name", "weight"))
                weight += layer.get_delta_weight(layer.active_adapters[0]).to(weight.dtype)
                model.set_submodule(name, base)
        model.requires_grad_(True)

    def _adapted(self, model: "PreTrainedModel", seed: tuple[int | str, ...]) -> "PreTrainedModel":
        import torch
        from peft import LoraConfig, inject_adapter_in_model

        layers, transposed = _linear_layers(model)
        if self.targets != "all-linear" and (unknown := sorted(set(self.targets) - layers)):
            raise UserError(
                f"training.adapter.targets: {', '.join(unknown)} is no linear layer of the model below its head; "
                f"those are {', '.join(sorted(layers))}"
            )
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=0.0,
            target_modules=self.targets,
            fan_in_fan_out=transposed,
        )
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(*seed, "adapter"))
            try:
                inject_adapter_in_model(config, model, low_cpu_mem_usage=model.device.type == "meta")
            except ValueError as error:
                raise UserError(f"training.adapter.targets: {error}") from None
        return model


class Qlora(Lora):
    """QLoRA (arXiv 2305.14314): LoRA beside weights in four bits, by bitsandbytes, on GPUs.

    Training starts from the policy as four bits have it; `cache_mismatch` among its figures says how far its
    log-probabilities are from those of the policy that was sampled. The policy that is published computes what was
    trained; the next iteration rounds it to four bits anew, which loses what is smaller than their gaps.
    """

    kind: Literal["qlora"] = "qlora"  # type: ignore[assignment]
    exact: ClassVar[bool] = False

    def open(self, folder: Path, dtype: Dtype, seed: tuple[int | str, ...]) -> "PreTrainedModel":
        """The folder's model in four bits with products of zero beside it.

        Raises:
            UserError: as `Lora.open`, or there is no GPU here.
        """
        import torch
        from transformers import BitsAndBytesConfig

        if not torch.cuda.is_available():
            raise UserError("training.adapter: qlora needs a GPU, and there is none here: set it to lora")
        if not find_spec("bitsandbytes"):
            raise UserError("training.adapter: qlora needs bitsandbytes, which is not here: pip install bitsandbytes")
        four = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
        return self._adapted(load_causal_lm(folder, dtype, four), seed)

    def merge(self, model: "PreTrainedModel") -> None:
        """Write the four bits out in full, and add the products."""
        model.dequantize()
        super().merge(model)


def _linear_layers(model: "PreTrainedModel") -> tuple[set[str], bool]:
    """The last parts of the names of a model's linear layers, its language-model head left out; and whether their
    weights are transposed, as GPT-2's are."""
    import torch
    from transformers.pytorch_utils import Conv1D

    kinds, head = (torch.nn.Linear, Conv1D), model.get_output_embeddings()
    layers = {name: each for name, each in model.named_modules() if isinstance(each, kinds) and each is not head}
    return {name.rpartition(".")[2] for name in layers}, any(isinstance(each, Conv1D) for each in layers.values())


def plain_name(name: str) -> str:
    """The name that a weight of an adapted model has in its folder."""
    return _BASE.sub(".", name)


def nothing_added(name: str, weights: Mapping[str, "torch.Tensor"]) -> "torch.Tensor | None":
    """What to copy into a weight of an adapted model, known by its name there, so that the model computes what a folder
    with these `weights` does; None for a weight that may be anything."""
    import torch

    return torch.zeros(()) if _FACTOR in name else weights.get(plain_name(name))


ADAPTERS = Variants("nashflow.adapters", Adapter, WholeWeights, Lora, Qlora)
AnyAdapter = Annotated[Adapter, ADAPTERS]
