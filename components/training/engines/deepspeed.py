"""Training by DeepSpeed."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from ...core.errors import UserError
from ...core.runtimes import Runtime
from ...methods.phases import Phase
from ...models.folders import Dtype
from ..data import PairData
from ..loop import Trainer
from .base import TrainingEngine
from .sharded import Sharded, join

if TYPE_CHECKING:
    from ..settings import TrainingSettings


class DeepSpeed(TrainingEngine):
    """DeepSpeed's ZeRO, on CPUs or accelerators, in as many processes as the launcher starts.

    Passes are in bfloat16 and the weights that AdamW moves in float32, as are sums of gradients over passes and
    processes.
    """

    kind: Literal["deepspeed"] = "deepspeed"
    zero: Literal[0, 2, 3] = 2
    """What is spread over the processes, instead of being whole in each: nothing (0, in float32 alone); AdamW's state
    and gradients (2); weights, too (3)."""
    offload: Literal["none", "optimizer", "parameters"] = "none"
    """What is kept in the memory of CPUs: AdamW's state (optimizer), and weights, too (parameters, where zero is 3)."""
    precision: Dtype = "bfloat16"
    """Precision of the passes; float32 needs twice the memory."""
    runtime: ClassVar[Runtime] = "training"
    several: ClassVar[bool] = True

    @model_validator(mode="after")
    def _stage(self) -> Self:
        if self.precision == "float64":
            raise ValueError("precision is float64, which DeepSpeed has not: set it to float32")
        if not self.zero and self.precision == "bfloat16":
            raise ValueError("zero is 0, at which DeepSpeed sums gradients in bfloat16: set zero to 2")
        least = {"none": 0, "optimizer": 2, "parameters": 3}[self.offload]
        if self.zero < least:
            raise ValueError(f"offload is {self.offload}, which needs zero {least} or more: set zero to {least}")
        return self

    @property
    def dtype(self) -> Dtype:
        """Precision of its forward passes."""
        return self.precision

    def check(self) -> None:
        """Nothing to refuse: its image has it."""

    def require_here(self) -> None:
        """Refuse it where DeepSpeed is not installed."""
        if find_spec("deepspeed") is None:
            raise UserError(
                "training.engine: deepspeed is not installed here: install nashflow[training], or set training.engine "
                "to torch and logprobs.dtype to float32"
            )

    def open(
        self, start: Path, phase: Phase, data: PairData, settings: "TrainingSettings", seed: tuple[int | str, ...]
    ) -> Trainer:
        """The policy in every process, which is one rank of several, or alone.

        Raises:
            UserError: DeepSpeed is not installed.
        """
        self.require_here()
        join()
        model = self.opened(start, settings, seed)
        trainer = Trainer(model, phase, data, settings, seed, partial(Sharded, config=self._config()))
        trainer.take_over(start)
        return trainer

    def _config(self) -> dict[str, Any]:
        """DeepSpeed's configuration. Sizes of batches are counted here, so its own are all one."""
        zero: dict[str, Any] = {"stage": self.zero}
        if self.offload != "none":
            zero["offload_optimizer"] = {"device": "cpu"}
        if self.offload == "parameters":
            zero["offload_param"] = {"device": "cpu"}
        return {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "zero_optimization": zero,
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "communication_data_type": "fp32",
            "bf16": {"enabled": self.precision == "bfloat16"},
            "data_types": {"grad_accum_dtype": "fp32"},
        }
