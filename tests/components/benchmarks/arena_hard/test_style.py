"""Style control: what is counted, and what it takes out."""

import numpy as np
import pytest

from nashflow.components.benchmarks.arena_hard.scores import Game, score_v2
from nashflow.components.benchmarks.arena_hard.style import Style, style_controlled

TEXT = """# Title
## Part
Some **bold** and __also bold__, and **a __b__ c**.
 - one
* two
1. three
#no header
```
# not a header
- not an item
```
"""


def test_markup_is_counted_outside_of_code() -> None:
    assert Style.of(TEXT) == Style(len(TEXT), headers=2, lists=3, bold=4)
    assert Style.of("") == Style(0, 0, 0, 0)


def simulated(seed: int, skill: float, length_effect: float) -> tuple[list[Game], list[tuple[Style, Style]]]:
    rng = np.random.default_rng(seed)
    games, styles = [], []
    for number in range(1500):
        ours = Style(int(rng.integers(200, 3000)), *map(int, rng.integers(0, 10, 3)))
        theirs = Style(1000, 3, 3, 3)
        difference = (ours.length - theirs.length) / (ours.length + theirs.length)
        won = rng.random() < 1 / (1 + np.exp(-(skill + length_effect * difference)))
        games.append(Game(str(number), float(won), 1))
        styles.append((ours, theirs))
    return games, styles


def test_a_model_that_wins_by_length_is_told_from_a_better_one() -> None:
    games, styles = simulated(0, skill=0.0, length_effect=3.0)
    spread = np.std([(ours.length - 1000) / (ours.length + 1000) for ours, _ in styles], ddof=1)
    mean = np.mean([(ours.length - 1000) / (ours.length + 1000) for ours, _ in styles])
    found = style_controlled(games, styles)
    assert found.length_effect == pytest.approx(3.0 * spread, abs=0.25)
    assert abs(found.header_effect) < 0.2
    assert found.style_controlled == pytest.approx(100 / (1 + np.exp(-3.0 * mean)), abs=4)  # at the mean style
    assert found.style_low < found.style_controlled < found.style_high


def test_the_regression_finds_the_maximum_of_the_likelihood() -> None:
    """Where nothing differs in style, it is the share of games won."""
    games = [Game(str(number), float(number % 3 == 0), 1) for number in range(300)] + [Game("x", 0.5, 1)]
    same = [(Style(10, 1, 1, 1), Style(10, 1, 1, 1))] * len(games)
    assert style_controlled(games, same).style_controlled == pytest.approx(score_v2(games).score, abs=1.5)


def test_empty_answers_and_games_without_a_verdict_do_no_harm() -> None:
    games = [Game("1", 1.0, 1), Game("1", 0.5, 0), Game("2", 1.0, 1), Game("3", 0.0, 3)]
    styles = [(Style(0, 0, 0, 0), Style(0, 0, 0, 0))] * 3 + [(Style(5, 0, 0, 0), Style(9, 1, 0, 2))]
    found = style_controlled(games, styles)
    assert 0 <= found.style_low <= found.style_controlled <= found.style_high <= 100
