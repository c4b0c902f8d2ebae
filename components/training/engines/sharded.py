"""The weights of a model in training by DeepSpeed: AdamW's state, gradients and weights are spread over the ranks."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...fitting.descent import MOMENTS, WEIGHT, Descent, Tensors, adamw, trained
from ...fitting.settings import FittingSettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

T = TypeVar("T")
_ALONE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}


class Sharded(Descent):
    """A model that DeepSpeed moves, in bfloat16 with float32 weights beside it, or in float32."""

    def __init__(self, model: "PreTrainedModel", settings: FittingSettings, config: Mapping[str, Any]) -> None:
        """`config`: DeepSpeed's, but for what `settings` say."""
        import torch
        from deepspeed import initialize

        self._model, self._clip = model, settings.max_gradient_norm
        self._stage = config["zero_optimization"]["stage"]
        self.optimizer = adamw(model, settings)
        whole = {**config, "gradient_clipping": self._clip if self._stage else 0.0}
        self._engine, self._moved, _, _ = initialize(model=_root(model), optimizer=self.optimizer, config=whole)
        self.rank, self.ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def forward(self, compute: Callable[[list[int]], T], indices: list[int]) -> T:
        """Within DeepSpeed's forward pass, in which weights are fetched as they are needed."""
        result: T = self._engine(compute, indices)
        return result

    def backward(self, loss: "torch.Tensor", last: bool) -> None:
        """By DeepSpeed, which takes means over ranks."""
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss * self.ranks, scale_wrt_gas=False)

    def step(self) -> float:
        """By DeepSpeed."""
        import torch

        weights = [parameter for _, parameter in trained(self._model)]
        norm = None if self._stage else torch.nn.utils.clip_grad_norm_(weights, self._clip)
        self._engine.step()
        return float(self._engine.get_global_grad_norm() if norm is None else norm)

    def gathered(self, values: Sequence[float]) -> NDArray[np.float64]:
        """Over all ranks."""
        import torch

        mine = torch.tensor(values, dtype=torch.float64, device=self._model.device)
        rows = [torch.empty_like(mine) for _ in range(self.ranks)]
        torch.distributed.all_gather(rows, mine)
        return torch.stack(rows).cpu().numpy()

    def state(self) -> Iterator[tuple[str, Tensors]]:
        """Each is put together on every rank, one after the other."""
        for name, parameter in trained(self._model):
            yield name, {key: self._get(parameter, key).detach().float().cpu() for key in (WEIGHT, *MOMENTS)}

    def load_state(self, updates: int, read: Callable[[int, str], tuple[int, Tensors]]) -> None:
        """Each goes from the rank that knows it to all."""
        self._make_moments(updates)
        for place, (name, parameter) in enumerate(trained(self._model)):
            owner, tensors = read(place, name)
            for key in (WEIGHT, *MOMENTS):
                self._set(parameter, key, self._sent(parameter, tensors.get(key), owner))

    def load_weights(self, read: Callable[[], Tensors]) -> None:
        """Each goes from rank 0 to all."""
        import torch

        tensors = read() if self.rank == 0 else {}
        names: list[list[str]] = [list(tensors)]
        torch.distributed.broadcast_object_list(names, 0)
        for name, parameter in self._model.named_parameters():
            if name in names[0] and parameter.is_floating_point():  # four bits stay as they were read
                self._set(parameter, WEIGHT, self._sent(parameter, tensors.get(name), 0))

    def whole(self, opened: Callable[[], "PreTrainedModel"]) -> "PreTrainedModel | None":
        """Each is put together on every rank, and kept on rank 0, on the CPU."""
        import torch

        model = opened().cpu() if self.rank == 0 else None
        own = dict(model.named_parameters()) if model else {}
        for name, parameter in trained(self._model):
            value = self._get(parameter, WEIGHT)
            if name in own:
                with torch.no_grad():
                    own[name].copy_(value)
        return model

    def _get(self, parameter: Any, key: str) -> "torch.Tensor":
        """A weight, or one of its moments, in float32."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        found: torch.Tensor
        if not self._stage:
            found = parameter if key == WEIGHT else self.optimizer.state[parameter][key]
        elif key == WEIGHT:
            found = safe_get_full_fp32_param(parameter)
        else:
            found = safe_get_full_optimizer_state(parameter, key)
        return found

    def _set(self, parameter: Any, key: str, value: "torch.Tensor") -> None:
        """Set it on every rank; of a weight, also what passes compute with."""
        import torch
        from deepspeed.runtime.zero import GatheredParameters

        if self._stage and parameter.requires_grad:
            self._set_shared(parameter, key, value)
        elif key != WEIGHT:
            self.optimizer.state[parameter][key].copy_(value)
        if key != WEIGHT:
            return
        with GatheredParameters([parameter], modifier_rank=0, enabled=self._stage == 3), torch.no_grad():
            parameter.copy_(value)

    def _set_shared(self, parameter: Any, key: str, value: "torch.Tensor") -> None:
        """Set the part of a value that this rank holds."""
        from deepspeed import utils
        from torch.nn.functional import pad

        if self._stage < 3:
            set_weight, set_moment = utils.safe_set_full_fp32_param, utils.safe_set_full_optimizer_state
        else:  # DeepSpeed does not set a whole value where it is padded to be shared out equally
            set_weight, set_moment = utils.safe_set_local_fp32_param, utils.safe_set_local_optimizer_state
            size = parameter.ds_tensor.numel()
            value = pad(value.flatten(), (0, size * self.ranks - value.numel())).narrow(0, size * self.rank, size)
        if key == WEIGHT:
            set_weight(parameter, value)
        else:
            set_moment(parameter, value, key)

    def _sent(self, parameter: Any, tensor: "torch.Tensor | None", owner: int) -> "torch.Tensor":
        """A tensor in float32 of the parameter's shape, from one rank to all."""
        import torch

        shape = getattr(parameter, "ds_shape", parameter.shape)
        value = torch.empty(shape, dtype=torch.float32, device=self._model.device)
        if tensor is not None:
            value.copy_(tensor)
        torch.distributed.broadcast(value, owner)
        return value

    def _make_moments(self, updates: int) -> None:
        """Make AdamW's state, which it makes itself at its first step otherwise."""
        import torch

        for group in self._moved.optimizer.param_groups if self._stage else self.optimizer.param_groups:
            for weight in group["params"]:
                state = self.optimizer.state[weight]
                for key in MOMENTS:
                    state.setdefault(key, torch.zeros_like(weight, dtype=torch.float32))
                state["step"] = torch.tensor(float(updates))
        if hasattr(self._moved, "_lazy_init_hp_params_optimizer_state"):
            self._moved._lazy_init_hp_params_optimizer_state()


def join() -> None:
    """Make this process one of the ranks that torchrun has started, or a rank alone.

    The operation that DeepSpeed would compile for ranks on one CPU is left out: gloo does the same.
    """
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed
    from torch._C._distributed_c10d import HashStore
    from torch.distributed import init_process_group

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.utils.logger.setLevel("ERROR")
    warnings.filterwarnings("ignore", "`torch.distributed", FutureWarning)  # names that torch has changed
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    alone = "RANK" not in os.environ
    if alone:
        os.environ.update(_ALONE)  # DeepSpeed asks for them
    if torch.distributed.is_initialized():
        return
    if alone:
        init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    else:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        init_process_group(backend)
    deepspeed.init_distributed(backend)


def _root(model: "PreTrainedModel") -> Any:
    """The module that DeepSpeed takes for the model: all that runs it is a pass through this one."""
    import torch

    class Root(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, compute: Callable[[list[int]], Any], indices: list[int]) -> Any:
            return compute(indices)

    return Root()
