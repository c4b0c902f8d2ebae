"""Memory: what passes take, and what to set where it does not suffice."""

import contextlib
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..core.machine import peak_gib

if TYPE_CHECKING:
    import torch

_SAID = re.compile("can't allocate memory|out of memory|not enough memory|cannot allocate memory", re.IGNORECASE)
"""How torch says that there is none: on CPUs by an error of no class of its own."""
_SPARE = 0.9
_GIB = 2**30


class Memory:
    """The memory of one device, as this process uses it."""

    def __init__(self, device: "torch.device", setting: str) -> None:
        """`setting`: the name of `micro_batch_tokens`, for people."""
        self._device, self._setting = device, setting
        self._a_token = 0.0
        """The most bytes that a pass has taken for each of its tokens."""

    @contextlib.contextmanager
    def of_pass(self, tokens: int, longest: int, smaller: Callable[[], int] = int) -> Iterator[None]:
        """A forward and backward pass.

        Args:
            tokens: how many it has.
            longest: how many the longest pair has.
            smaller: makes a smaller pass for which the memory suffices, and says how many tokens that has; 0 if there
                is none. Asked where no pass has been made so far.

        Raises:
            UserError: the memory does not suffice; says what to set.
        """
        before, highest = self._used(), self._peak()
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not _for_want_of_memory(error):
                raise
            now = self._used()
            traceback.clear_frames(error.__traceback__)  # they hold what the pass has made
            fits = int(_SPARE * (now - before) / self._a_token) if self._a_token else smaller() or tokens // 2
            raise UserError(self._advice(tokens, longest, min(fits, 3 * tokens // 4), now - before, now)) from None
        if (peak := self._peak()) > highest:
            self._a_token = max(self._a_token, (peak - before) / tokens)

    def _advice(self, tokens: int, longest: int, fits: int, taken: float, now: float) -> str:
        said = (
            f"out of memory in a pass over {tokens:,} tokens, which had taken {taken / _GIB:.3g} GiB, with "
            f"{now / _GIB:.3g} GiB in use: "
        )
        if fits < longest:
            return f"{said}{_MORE}, since the longest pair alone has {longest:,} tokens, and about {fits:,} fit"
        return f"{said}set {self._setting} to at most {max(longest, _rounded(fits))}"

    def _used(self) -> float:
        """Bytes in use."""
        return self._read("VmRSS", "memory_allocated")

    def _peak(self) -> float:
        """The most bytes that have been in use."""
        return self._read("VmHWM", "max_memory_allocated")

    def _read(self, of_process: str, of_device: str) -> float:
        if self._device.type == "cpu":
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            return 1024 * float(status.partition(f"{of_process}:")[2].split(maxsplit=1)[0])
        import torch

        return float(getattr(torch.cuda, of_device)(self._device))


@contextlib.contextmanager
def enough_for(what: str, doing: str) -> Iterator[None]:
    """Something that no smaller passes would spare: memory for `what`, while `doing` it.

    Raises:
        UserError: the memory does not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _for_want_of_memory(error):
            raise
        raise UserError(
            f"out of memory {doing}, with a peak of {peak_gib():.3g} GiB: {_MORE}, since {what} alone do not fit"
        ) from None


_MORE = (
    "give the training more memory, or set training.adapter to lora, or training.engine to deepspeed with more "
    "processes or offload"
)


def _for_want_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or bool(_SAID.search(str(error)))


def _rounded(tokens: int) -> int:
    """Down to two digits."""
    unit = int(10 ** max(0, len(str(tokens)) - 2))
    return tokens // unit * unit
