"""Calibration: every figure on probabilities whose answer is known."""

import numpy as np
import pytest

from nashflow.components.quality.calibration import (
    BINS,
    brier,
    calibration_error,
    mended,
    reliability,
    temperature,
)


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


SURE = np.repeat([0.8, 0.2], [10, 10])
"""A judge that is 80 % sure …"""
RIGHT_60 = np.concatenate([np.repeat([1.0, 0.0], [6, 4]), np.repeat([0.0, 1.0], [6, 4])])
"""… and right in 60 % of the pairs."""


def test_the_curve_holds_confidence_against_accuracy() -> None:
    curve = reliability(RIGHT_60, SURE)
    assert [each.low for each in curve] == pytest.approx([0.5 + number / 20 for number in range(10)])
    assert [each.high for each in curve] == pytest.approx([0.55 + number / 20 for number in range(10)])
    assert [each.pairs for each in curve] == [0, 0, 0, 0, 0, 20, 0, 0, 0, 0]
    assert (curve[5].confidence, curve[5].accuracy) == pytest.approx((0.8, 0.6))
    assert curve[0].confidence is curve[0].accuracy is None
    assert len(curve) == BINS


def test_the_bins_hold_their_upper_ends() -> None:
    curve = reliability(np.ones(4), array(0.5, 0.55, 0.5500001, 1.0))
    assert [each.pairs for each in curve] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert curve[0].accuracy == (0.5 + 1) / 2


def test_which_answer_stands_first_makes_no_difference() -> None:
    turned = reliability(1 - RIGHT_60, 1 - SURE)
    assert turned == reliability(RIGHT_60, SURE)


def test_the_error_is_the_gap_weighted_by_pairs() -> None:
    assert calibration_error(RIGHT_60, SURE) == pytest.approx(0.2)
    label, probability = np.concatenate([RIGHT_60, np.ones(20)]), np.concatenate([SURE, np.ones(20)])
    assert calibration_error(label, probability) == pytest.approx(0.1)
    assert calibration_error(array(), array()) is None


def test_brier_is_the_mean_square() -> None:
    assert brier(array(1, 0), array(0.8, 0.4)) == pytest.approx((0.04 + 0.16) / 2)
    assert brier(array(1, 0), array(0.5, 0.5)) == 0.25


def test_the_temperature_makes_confidence_the_accuracy() -> None:
    """σ(logit(0.8)/T) = 0.6."""
    heat = temperature(RIGHT_60, SURE)
    assert heat == pytest.approx(np.log(4) / np.log(1.5))
    assert heat is not None
    assert mended(SURE, heat) == pytest.approx(np.where(SURE > 0.5, 0.6, 0.4))
    assert calibration_error(RIGHT_60, mended(SURE, heat)) == pytest.approx(0)


def test_a_judge_that_is_not_sure_enough_is_below_one() -> None:
    """σ(logit(0.6)/T) = 0.8."""
    label, probability = np.repeat([1.0, 0.0], [8, 2]), np.full(10, 0.6)
    assert temperature(label, probability) == pytest.approx(np.log(1.5) / np.log(4))


def test_the_temperature_has_the_greatest_likelihood() -> None:
    draw = np.random.default_rng(0)
    logit = draw.normal(size=500) * 3
    label = (draw.random(500) < 1 / (1 + np.exp(-logit / 2.5))).astype(float)
    probability = 1 / (1 + np.exp(-logit))

    def likelihood(heat: float) -> float:
        p = mended(probability, heat)
        return float(np.log(np.where(label == 1, p, 1 - p)).mean())

    heat = temperature(label, probability)
    assert heat is not None
    assert likelihood(heat) > max(likelihood(heat * 1.01), likelihood(heat / 1.01))


@pytest.mark.parametrize("label", [np.ones(3), np.zeros(3), array(1, 0, 0)])
def test_some_judges_have_no_temperature(label: np.ndarray) -> None:
    """Never wrong; never right; more often wrong than right."""
    assert temperature(label, np.full(3, 0.8)) is None


def test_certainty_is_taken_for_near_it() -> None:
    assert temperature(np.repeat([1.0, 0.0], [3, 1]), np.ones(4)) == pytest.approx(np.log(9999) / np.log(3), rel=1e-6)
