"""When a training is measured, which weights are its own, and when it stops."""

import pytest

from nashflow.components.fitting.held_out import HeldOut, HeldOutSettings


def watched(losses: dict[int, float], updates: int, every: int, patience: int | None) -> tuple[list[float], HeldOut]:
    """The curve of a training that goes on until it is over, with these losses after the updates that are measured."""
    curves: dict[str, list[float]] = {"loss": []}
    held_out = HeldOut(
        HeldOutSettings(updates=every, patience=patience), updates, lambda: {"loss": losses[len(curves["loss"])]}
    )
    for update in range(1, updates + 1):
        if held_out.over(curves):
            break
        curves["loss"].append(1.0)
        for name, value in held_out.figures(update, curves).items():
            curves.setdefault(name, []).append(value)
        assert held_out.keeps(curves) == (patience is not None and update < updates and held_out.best(curves) == update)
    return curves["held_out_loss"], held_out


LOSSES = {1: 1.0, 3: 0.6, 6: 0.5, 9: 0.7, 12: 0.55, 14: 0.4}


@pytest.mark.parametrize(("patience", "last", "best"), [(None, 14, 14), (1, 9, 6), (2, 12, 6), (3, 14, 14)])
def test_it_stops_after_measurements_that_are_no_lower(patience: int | None, last: int, best: int) -> None:
    curve, held_out = watched(LOSSES, 14, 3, patience)
    newest = [max(update for update in LOSSES if update <= each) for each in range(1, last + 1)]
    assert curve == [LOSSES[update] for update in newest]
    assert held_out.best({"held_out_loss": curve}) == best


def test_where_the_first_weights_are_best_they_are_kept() -> None:
    curve, held_out = watched({1: 0.1, 2: 0.5, 4: 0.6}, 8, 2, 2)
    assert (len(curve), held_out.best({"held_out_loss": curve})) == (4, 1)
