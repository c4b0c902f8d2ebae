"""Pairs that a training is measured on and not trained on, and when it stops for their sake."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from ..core.settings import Settings

_LOSS = "held_out_loss"
Curves = Mapping[str, Sequence[float]]


class HeldOutSettings(Settings):
    """Pairs to measure on."""

    share: float = Field(0.05, gt=0.0, lt=1.0)
    """Share of the prompts whose pairs are not trained on."""
    updates: int = Field(50, ge=1)
    """Updates between two measurements, besides that after the first update and that after the last one."""
    patience: int | None = Field(None, ge=1)
    """Stop after as many measurements in a row without a lower loss, and keep the weights that had the lowest; null: go
    on to the last update, and keep its weights."""


class HeldOut:
    """The measurements of a training. Between them its curves repeat the newest figures."""

    def __init__(self, settings: HeldOutSettings, updates: int, measure: Callable[[], Mapping[str, float]]) -> None:
        """`updates`: of the whole training; `measure`: gives the figures of the pairs under the present weights."""
        self._settings, self._updates, self._measure = settings, updates, measure

    def figures(self, update: int, curves: Curves) -> dict[str, float]:
        """Those after an update, for whose curves `curves` has the values of the earlier ones."""
        if self._due(update):
            return {f"held_out_{name}": value for name, value in self._measure().items()}
        return {name: values[-1] for name, values in curves.items() if name.startswith("held_out_")}

    def keeps(self, curves: Curves) -> bool:
        """Whether the weights after the newest update have to be kept: nothing better is known, and they may change."""
        update = len(curves[_LOSS])
        return self._settings.patience is not None and self.best(curves) == update < self._updates

    def best(self, curves: Curves) -> int:
        """The update whose weights are the training's: with patience, that of the lowest loss; else the newest."""
        losses = curves[_LOSS]
        if self._settings.patience is None:
            return len(losses)
        return min(self._measured(losses), key=lambda update: losses[update - 1])

    def over(self, curves: Curves) -> bool:
        """Whether patience has come to its end."""
        losses, patience = curves.get(_LOSS, ()), self._settings.patience
        if patience is None or not losses:
            return False
        best = self.best(curves)
        return sum(update > best for update in self._measured(losses)) >= patience

    def _measured(self, losses: Sequence[float]) -> list[int]:
        return [update for update in range(1, len(losses) + 1) if self._due(update)]

    def _due(self, update: int) -> bool:
        return update in (1, self._updates) or update % self._settings.updates == 0
