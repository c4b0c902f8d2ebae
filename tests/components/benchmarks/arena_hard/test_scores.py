"""Arena-Hard's scores: the closed form beside the regression, and the official bootstrap beside pandas' own draws."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nashflow.components.benchmarks.arena_hard.scores import Game, score_v01, score_v2
from nashflow.components.core.errors import UserError


def battles(seed: int, questions: int = 120) -> list[Game]:
    """Two games a question, some without a verdict."""
    rng = np.random.default_rng(seed)
    chances = np.array([rng.uniform(0.05, 1) for _ in range(6)])
    kinds = [(1.0, 3), (1.0, 1), (0.5, 1), (0.0, 1), (0.0, 3), (0.5, 0)]
    drawn = rng.choice(6, (questions, 2), p=chances / chances.sum())
    return [Game(str(number), *kinds[kind]) for number, pair in enumerate(drawn) for kind in pair]


def frame(games: list[Game]) -> pd.DataFrame:
    """The games as the benchmark's table of battles: the baseline is model_a, and a verdict is so many rows."""
    winners = {1.0: "model_b", 0.5: "tie", 0.0: "model_a"}
    rows = [winners[game.result] for game in games for _ in range(game.weight)]
    return pd.DataFrame({"winner": rows})


def rating(table: pd.DataFrame) -> float:
    """The Bradley-Terry rating of the model above the baseline's, by logistic regression on doubled battles."""
    from sklearn.linear_model import LogisticRegression

    doubled = pd.concat([table, table], ignore_index=True)
    features = np.full((len(doubled), 2), math.log(10)) * [1, -1]
    wins = np.array(doubled["winner"] == "model_a", dtype=float)
    ties = np.array(doubled["winner"] == "tie")
    ties[len(ties) // 2 :] = False
    wins[ties] = 1.0
    fit = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-10, max_iter=1000).fit(features, wins)
    baseline, model = 400 * fit.coef_[0]
    return float(model - baseline)


def win_rate(difference: Any) -> Any:
    return 100 / (1 + 10 ** (-difference / 400))


@pytest.mark.parametrize("seed", range(6))
def test_the_closed_form_is_the_regression(seed: int) -> None:
    games = battles(seed)
    assert score_v01(games).score == pytest.approx(win_rate(rating(frame(games))), abs=1e-6 * 100)


def test_the_interval_is_that_of_the_official_seed() -> None:
    games = battles(7)
    table = frame(games)
    np.random.seed(42)
    ratings = [rating(table.sample(frac=1.0, replace=True)) for _ in range(100)]
    expected = win_rate(np.percentile(ratings, [2.5, 97.5]))
    found = score_v01(games)
    assert [found.official_low, found.official_high] == pytest.approx(expected, abs=1e-4)


def test_version_2_is_the_mean_of_bootstraps_of_questions_with_both_verdicts() -> None:
    games = battles(8)
    nulls = {game.question for game in games if not game.weight}
    rows = [game.result for game in games if game.question not in nulls for _ in range(game.weight)]
    table = pd.DataFrame({"model": "m", "scores": rows})
    np.random.seed(42)
    means = pd.concat(
        [table.groupby("model").sample(frac=1.0, replace=True).groupby("model").mean() for _ in range(100)]
    )["scores"]
    found = score_v2(games)
    assert found.score == pytest.approx(100 * means.mean(), abs=1e-9)
    expected = 100 * means.quantile([0.05, 0.95])
    assert [found.official_low, found.official_high] == pytest.approx(expected.tolist(), abs=1e-9)
    assert found.no_verdict == 2 * len(nulls)
    assert nulls


@pytest.mark.parametrize(("result", "score"), [(1.0, 100.0), (0.0, 0.0)])
@pytest.mark.parametrize("scored", [score_v01, score_v2])
def test_who_wins_all_has_a_score(result: float, score: float, scored: Any) -> None:
    found = scored([Game(str(number), result, 3) for number in range(50) for _ in range(2)])
    assert (found.score, found.official_low, found.official_high) == (score, score, score)
    assert found.high - found.low > 5  # of 50 questions, something is left open
    assert (found.wins, found.losses) == ((100, 0) if result else (0, 100))


def test_one_loss_among_wins_has_a_finite_lower_end() -> None:
    games = [Game(str(number), 1.0, 1) for number in range(200)] + [Game("200", 0.0, 1)]
    found = score_v01(games)
    assert found.score == pytest.approx(100 * 200 / 201)
    assert 95 < found.official_low < found.score
    assert found.official_high == 100.0


def test_games_without_a_verdict_are_counted_and_weigh_nothing() -> None:
    games = [Game("1", 1.0, 3), Game("1", 0.5, 0), Game("2", 0.0, 1), Game("2", 0.5, 1)]
    found = score_v01(games)
    assert found.score == pytest.approx(100 * 3.5 / 5)
    assert (found.wins, found.losses, found.ties, found.no_verdict, found.questions) == (1, 1, 1, 1, 2)
    for scored in (score_v01, score_v2):
        with pytest.raises(UserError, match=r"^none of 2 games has a verdict such as \[\[A>B\]\]$"):
            scored([Game("1", 0.5, 0), Game("1", 0.5, 0)])
