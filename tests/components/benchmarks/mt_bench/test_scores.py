"""MT-Bench: what a rating is, and the means of ratings."""

import numpy as np
import pytest

from nashflow.components.benchmarks.mt_bench.ratings import NO_RATING, read_rating
from nashflow.components.benchmarks.mt_bench.scores import Rated, mean_ratings
from nashflow.components.core.errors import UserError


@pytest.mark.parametrize(
    ("judgment", "rating"),
    [
        ("Rating: [[5]]", 5.0),
        ("Rating: [[7.5]] though [[9]] was near", 7.5),
        ("Rating: [8]", 8.0),
        ("[3] of these points; Rating: [[6]]", 6.0),
        ("[[10]]", 10.0),
        ("[[8.]]", 8.0),
        ("Rating: [[8/10]]", NO_RATING),
        ("Rating: [[rating]]", NO_RATING),
        ("Rating: 5", NO_RATING),
        ("[[-3]]", NO_RATING),
        ("$ERROR$", NO_RATING),
    ],
)
def test_the_first_rating_counts(judgment: str, rating: float) -> None:
    assert read_rating(judgment) == rating


def test_the_score_is_the_mean_of_all_answers_not_of_questions() -> None:
    ratings = [Rated("1", 1, 8), Rated("1", 2, 6), Rated("2", 1, 2), Rated("2", 2, NO_RATING), Rated("3", 1, NO_RATING)]
    score = mean_ratings(ratings)
    assert (score.score, score.first_turn, score.second_turn) == (pytest.approx(16 / 3), 5.0, 6.0)
    assert (score.questions, score.no_rating) == (2, 2)
    assert score.low < score.score < score.high


def test_turns_of_one_question_are_no_independent_answers() -> None:
    rng = np.random.default_rng(0)
    once = [Rated(str(number), 1, float(rating)) for number, rating in enumerate(rng.integers(1, 11, 80))]
    twice = [*once, *(each._replace(turn=2) for each in once)]
    one, two = mean_ratings(once), mean_ratings(twice)
    assert (two.score, two.low, two.high) == pytest.approx((one.score, one.low, one.high))
    assert one.standard_error == pytest.approx(np.std([each.rating for each in once], ddof=1) / np.sqrt(80))


def test_without_a_rating_there_is_no_score() -> None:
    with pytest.raises(UserError, match=r"^none of 1 judgments names a rating such as \[\[5\]\]$"):
        mean_ratings([Rated("1", 1, NO_RATING)])
