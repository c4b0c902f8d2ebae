from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.reporting.table import figure_columns, second_columns, show

FIGURES = ("win_rate", "win_rate_low", "win_rate_high", "duality_gap", "duality_gap_exact", "kl", "mean_length")


def row(iteration: int, seconds: dict[str, float], **figures: float | None) -> dict[str, Any]:
    nothing = dict.fromkeys((*FIGURES, "pairs", "comparisons", "oracle_calls"), None)
    return {"iteration": iteration, **nothing, **figures, "seconds": seconds}


def test_the_table_of_a_run_is_exactly_this() -> None:
    summary = {
        "iterations": [
            row(0, {"evaluation": 2.04}, duality_gap=0.11, kl=0.0, mean_length=2.0),
            row(
                1,
                {"rollout": 1.0, "judging": 0.25, "logprobs": 0.1, "training": 1234.56, "evaluation": 2.0},
                win_rate=0.5604,
                win_rate_low=0.53,
                win_rate_high=0.5896,
                duality_gap=0.06004,
                duality_gap_exact=0.048,
                kl=0.0519,
                mean_length=2.96,
                pairs=4096,
                comparisons=12288,
            ),
        ]
    }
    assert [tuple(column) for column in figure_columns(summary)] == [
        ("t", ["0", "1"]),
        ("win rate [95 %]", ["–", "0.560 [0.530, 0.590]"]),
        ("gap", ["0.1100", "0.0600"]),
        ("exact gap", ["–", "0.0480"]),
        ("KL", ["0.000", "0.052"]),
        ("length", ["2.0", "3.0"]),
        ("pairs", ["–", "4,096"]),
        ("compared", ["–", "12,288"]),
    ]
    assert [tuple(column) for column in second_columns(summary)] == [
        ("rollout s", ["–", "1.0"]),
        ("judging s", ["–", "0.2"]),
        ("logprobs s", ["–", "0.1"]),
        ("training s", ["–", "1,234.6"]),
        ("evaluation s", ["2.0", "2.0"]),
    ]


def test_the_steps_stand_in_the_order_of_work_although_the_reference_has_the_last_one_alone() -> None:
    rows = [row(0, {"evaluation": 1.0}), row(1, {"rollout": 1.0, "training": 2.0, "evaluation": 3.0})]
    assert [column.title for column in second_columns({"iterations": rows})] == [
        "rollout s",
        "training s",
        "evaluation s",
    ]


@given(st.floats(-1e9, 1e9), st.integers(0, 6))
def test_a_shown_figure_is_the_figure_rounded(value: float, digits: int) -> None:
    assert float(show(value, digits).replace(",", "")) == pytest.approx(value, abs=0.51 * 10**-digits)


def test_what_does_not_apply_is_a_dash() -> None:
    assert show(None, 3) == "–"
    assert show(0) == "0"
