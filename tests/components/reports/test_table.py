from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.benchmarks import every_figure
from nashflow.components.reports.table import (
    Column,
    benchmark_columns,
    caption,
    comparison_columns,
    figure_columns,
    run_labels,
    second_columns,
    show,
)

FIGURES = tuple(every_figure())
COUNTS = ("pairs", "comparisons", "oracle_calls", "judging_abstentions", "judging_truncated")


def row(iteration: int, seconds: dict[str, float], **figures: Any) -> dict[str, Any]:
    nothing = dict.fromkeys((*FIGURES, *COUNTS, "duality_gap_average"), None)
    return {"iteration": iteration, **nothing, **figures, "seconds": seconds}


def run(*rows: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {"run": "sandbox", "method": "inpo", "seed": 0, "iterations": list(rows), **said}


def compared(*runs: dict[str, Any]) -> dict[str, list[str]]:
    """The cells of the comparison of some runs, by heading."""
    return {column.title: column.cells for group in comparison_columns(runs) for column in group}


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
    assert [(column.title, column.cells) for column in figure_columns(summary)] == [
        ("t", ["0", "1"]),
        ("win rate [95 %]", ["–", "0.560 [0.530, 0.590]"]),
        ("length", ["2.0", "3.0"]),
        ("gap", ["0.1100", "0.0600"]),
        ("exact gap", ["–", "0.0480"]),
        ("KL", ["0.000", "0.052"]),
        ("pairs", ["–", "4,096"]),
        ("compared", ["–", "12,288"]),
    ]
    assert [(column.title, column.cells) for column in second_columns(summary)] == [
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
    assert show(-1e-5, 3) == "0.000"


def test_the_comparison_of_two_runs_is_exactly_this() -> None:
    interval = {"win_rate": 0.5604, "win_rate_low": 0.53, "win_rate_high": 0.5896}
    first = run(
        row(0, {"evaluation": 2.0}, duality_gap=0.12, kl=0.0),
        row(1, {"rollout": 1.0, "training": 300.5}, duality_gap=0.5, kl=0.3, comparisons=4096, oracle_calls=2040),
        row(
            2,
            {"rollout": 1.25, "training": 900.0},
            **interval,
            duality_gap=0.03,
            duality_gap_exact=0.0249,
            duality_gap_average=0.25123,
            kl=0.0519,
            comparisons=4096,
            oracle_calls=2041,
        ),
    )
    text = run(row(0, {"evaluation": 2.6}, kl=0.0), run="text", method="sppo")
    assert compared(first, text) == {
        "run": ["sandbox", "text"],
        "method": ["inpo", "sppo"],
        "t": ["2", "0"],
        "win rate [95 %]": ["0.560 [0.530, 0.590]", "–"],
        "gap": ["0.0300", "–"],
        "of start": ["0.250", "–"],
        "exact gap": ["0.0249", "–"],
        "average gap": ["0.2512", "–"],
        "KL": ["0.052", "0.000"],
        "compared": ["8,192", "–"],
        "oracle calls": ["4,081", "–"],
        "seconds": ["1,205", "3"],
    }


def columns(summary: dict[str, Any]) -> dict[str, list[str]]:
    return {column.title: column.cells for column in figure_columns(summary)}


def test_the_gap_in_the_methods_own_game_stands_beside_the_common_one_where_they_differ() -> None:
    one_game = [row(t, {}, duality_gap=0.2 / (t + 1), duality_gap_own=0.2 / (t + 1)) for t in range(2)]
    own = [row(0, {}, duality_gap=0.2, duality_gap_own=0.1), row(1, {}, duality_gap=0.3, duality_gap_own=1e-9)]
    none = [row(0, {}, duality_gap=0.2, duality_gap_own=None)]
    assert [list(columns(run(*rows))) for rows in (one_game, own, none)] == [
        ["t", "gap", "pairs", "compared"],
        ["t", "gap", "own gap", "pairs", "compared"],
        ["t", "gap", "pairs", "compared"],
    ]
    assert columns(run(*own))["own gap"] == ["0.1000", "0.0000"]
    assert compared(run(*own))["own gap"] == ["0.0000"]
    assert "own gap: that in the method's own game" in caption(run(*own))
    assert "own gap" not in caption(run(*one_game))


def test_the_mass_that_exact_figures_leave_out_stands_beside_them() -> None:
    rows = [row(0, {}, duality_gap=0.2, mass_outside=2e-8), row(1, {}, duality_gap=0.2, mass_outside=0.0573)]
    assert columns(run(*rows))["outside"] == ["0.0000", "0.0573"]
    assert "outside: probability of anything but the world's responses" in caption(run(*rows))
    assert "outside" not in columns(run(rows[0]))


def test_a_standard_error_stands_beside_its_figure() -> None:
    sampled = run(row(0, {}, kl=0.0, kl_error=None), row(1, {}, kl=0.0519, kl_error=0.0071, kl_k3=0.05))
    assert columns(sampled) == {
        "t": ["0", "1"],
        "KL ± s.e.": ["0.000", "0.052 ± 0.007"],
        "KL k3": ["–", "0.050"],
        "pairs": ["–", "–"],
        "compared": ["–", "–"],
    }
    assert "never negative; KL by the mean of −log r" in caption(sampled)


def test_words_alone_start_on_the_left() -> None:
    groups = comparison_columns([run(row(0, {}))])
    assert [column.title for group in groups for column in group if column.words] == ["run", "method"]


def test_a_run_that_compares_nothing_has_made_no_comparisons_yet_another_has_none_to_make() -> None:
    """IPO's given pairs are judged without the oracle; of a run of the reference alone nothing is judged."""
    given = run(row(0, {}), row(1, {}, comparisons=0, oracle_calls=0))
    assert compared(given, run(row(0, {})))["oracle calls"] == ["0", "–"]


@pytest.mark.parametrize(
    "rows",
    [
        [row(1, {}, duality_gap=0.1)],
        [row(0, {}, duality_gap=0.0), row(1, {}, duality_gap=0.1)],
        [row(0, {}), row(1, {}, duality_gap=0.1)],
        [row(0, {}, duality_gap=0.1), row(1, {})],
    ],
    ids=["the reference is late", "nothing at the start", "not measured at the start", "not measured at the end"],
)
def test_without_a_start_or_an_end_there_is_no_share(rows: list[dict[str, Any]]) -> None:
    assert compared(run(*rows))["of start"] == ["–"]


def test_runs_of_one_name_are_told_apart_by_their_seeds() -> None:
    runs = [run(seed=0), run(run="other", seed=0), run(seed=3)]
    assert run_labels(runs) == ["sandbox (seed 0)", "other", "sandbox (seed 3)"]
    assert run_labels(runs[:2]) == ["sandbox", "other"]


@given(st.lists(st.tuples(st.floats(0, 1e4), st.integers(0, 10**6)), min_size=1, max_size=6))
def test_work_is_summed_over_the_iterations(work: list[tuple[float, int]]) -> None:
    rows = [row(t, {"rollout": seconds, "training": 1.0}, comparisons=made) for t, (seconds, made) in enumerate(work)]
    cells = compared(run(*rows))
    assert cells["compared"] == [f"{sum(made for _, made in work):,}"]
    assert float(cells["seconds"][0].replace(",", "")) == pytest.approx(
        len(work) + sum(seconds for seconds, _ in work), abs=0.51
    )


def test_abstentions_and_truncations_have_columns_where_there_are_any() -> None:
    made = {"pairs": 3, "comparisons": 8, "win_rate": 0.5, "win_rate_low": 0.4, "win_rate_high": 0.6}
    none = run(row(0, {}), row(1, {}, **made, abstentions=0, truncated=0, judging_abstentions=0, judging_truncated=0))
    titles = [column.title for column in figure_columns(none)]
    assert not [title for title in titles if "verdict" in title or "cut" in title]
    assert "verdict" not in caption(none)
    some = run(row(0, {}), row(1, {}, **made, abstentions=2, truncated=1, judging_abstentions=5, judging_truncated=4))
    cells = {column.title: column.cells for column in figure_columns(some)}
    assert [cells[title][1] for title in ("no verdict", "cut")] == ["2", "1"]
    assert [cells[title][1] for title in ("compared: no verdict", "compared: cut")] == ["5", "4"]
    assert "no verdict: of those the oracle could not judge, which make no pair" in caption(some)


def test_a_win_rate_of_abstentions_alone_is_none() -> None:
    some = run(row(0, {}, abstentions=4), row(1, {}, abstentions=4))
    assert [column.title for column in figure_columns(some)][:2] == ["t", "no verdict"]


def test_what_the_oracle_has_used_stands_there_where_it_says_so() -> None:
    assert "oracle" not in caption(run(row(0, {}), row(1, {}, usage={})))
    made = run(row(0, {}, usage={"tokens": 1200}), row(1, {}, usage={"tokens": 12_345, "cost": 0.256}))
    shown = columns(made)
    assert (shown["oracle: tokens"], shown["oracle: cost"]) == (["1,200", "12,345"], ["0.00", "0.26"])
    assert caption(made).endswith("; oracle: what it used, in judging and evaluation")


def test_dropped_candidates_are_counted_and_the_reasons_said() -> None:
    made = run(row(0, {}), row(1, {}, pairs=3, dropped={"tie": 2}), row(2, {}, pairs=3, dropped={"tie": 1, "lost": 4}))
    assert columns(made)["dropped"] == ["–", "2", "5"]
    assert "; dropped: made no pair (4 lost, 3 tie)" in caption(made)
    assert "dropped" not in columns(run(row(0, {}), row(1, {}, pairs=3, dropped={})))


def test_headlines_of_benchmarks_of_some_recipes_have_columns_of_their_own() -> None:
    figure = {"name": "versus/win_rate/judge", "headline": True, "digits": 2, "interval": ["low", "high"]}
    rows = [{"iteration": 0}, {"iteration": 1, "versus/win_rate/judge": 0.625, "low": 0.5, "high": 0.75}]
    columns = benchmark_columns({"headlines": [figure], "iterations": rows})
    assert columns == [Column("versus/win_rate/judge", ["–", "0.62 [0.50, 0.75]"])]
    assert benchmark_columns({"iterations": rows}) == []
