"""How fast a training is, and what it takes: figures of the machine, which are no part of what was learnt."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..core.machine import peak_gib
from ..models.ceiling import ceiling
from ..models.flops import flops_of
from ..models.folders import Dtype
from ..scoring.groups import Group

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FIGURES = ("mfu", "padding", "peak_gib", "tokens_per_second")
"""mfu: model FLOPs utilisation, the operations that are needed (`Flops.of`) over those that the machine could have done
(`ceiling`) in the time of the updates; left out for mixtures of experts, models with a vision tower and models without
attention. padding: the share of the positions computed
that need not be, because they are padding or a prompt that is read again. peak_gib: the most memory that this process
has held so far, of its GPU where there is one. tokens_per_second: prompts counted for both sides."""


class Speed:
    """The speed of one process's share of a training."""

    def __init__(self, model: "PreTrainedModel", dtype: Dtype) -> None:
        """The model as it is trained, and the precision of its forward passes."""
        self._flops, self._dtype = flops_of(model), dtype
        self._updates: list[tuple[float, int, int, int, float]] = []

    def add(self, groups: Iterable[Group], positions: int, seconds: float) -> dict[str, float]:
        """Take an update over groups that took so many positions and so long; its own figures, by their names."""
        groups = list(groups)
        lengths = [(len(group.prompt), [len(response) for response in group.responses]) for group in groups]
        needed = sum(prompt + sum(responses) for prompt, responses in lengths)
        tokens = sum(len(responses) * prompt + sum(responses) for prompt, responses in lengths)
        flops = sum(self._flops.of(*each) for each in lengths) if self._flops else 0.0
        self._updates.append((flops, needed, positions, tokens, seconds))
        return {name: value for name, value in self._figures(1).items() if name != "tokens_per_second"}

    def figures(self) -> dict[str, float]:
        """Those of all updates but the first, which warms up, where there are more; empty before the first one."""
        return self._figures(max(1, len(self._updates) - 1)) if self._updates else {}

    def _figures(self, last: int) -> dict[str, float]:
        flops, needed, positions, tokens, seconds = map(sum, zip(*self._updates[-last:], strict=True))
        mfu = {"mfu": flops / seconds / ceiling(self._dtype)} if flops else {}
        figures = {"padding": 1 - needed / positions, "peak_gib": peak_gib()}
        return mfu | figures | {"tokens_per_second": tokens / seconds}
