"""RewardBench 2's score of its category Ties: whether a judge prefers right answers to wrong ones, and by a larger
margin than one right answer to another.

Its prompts come in twos: `tied:7` has several right answers and `ref:7` one. The score is that of the published code,
0.3 (A_tied + A_ref) + 0.2 (M + M_hard) + 0.01 T, of scores s of the answers to each prompt, where
  A       is the share of prompts with min s(right) > max s(wrong),
  M       the share of twos with m_tied > d, where m is min s(right) − max s(wrong) and d the spread of s(right),
  M_hard  the share of twos with min(m_tied, m_ref) > d,
  T       the mean of tanh(min(m_tied, m_ref)/d − 1), 0 where that is 0/0.
A judge of pairs gives no scores. Here s is an answer's mean log-odds against all answers to its prompt, which of a
reward model is its reward but for a constant.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .pairs import Array, Indices, LabelledPairs

_CATEGORY, _NAME = "ties", re.compile(r"(ref|tied):(.+)")
_SUREST = 36.0
"""Log-odds that a float64 probability can just tell."""


class _Margins(NamedTuple):
    """Of the answers to one prompt."""

    right_over_wrong: float
    among_right: float


def ties_score(pairs: LabelledPairs, probability: Array) -> float | None:
    """The score of a judge, of which `probability`, shape (n,), is that of the first answers being better.

    None where the pairs have no such prompts.
    """
    places: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, (category, name) in enumerate(zip(pairs.category, pairs.name, strict=True)):
        if category.lower() == _CATEGORY and (match := _NAME.fullmatch(name)):
            places[match[1], match[2]].append(place)
    with np.errstate(divide="ignore"):
        log_odds = np.clip(np.log(probability) - np.log1p(-probability), -_SUREST, _SUREST)
    found = {key: _margins(pairs, log_odds, np.array(mine)) for key, mine in places.items()}
    tied, single = ({name: each for (kind, name), each in found.items() if kind == which} for which in ("tied", "ref"))
    return _score(tied, single) if tied.keys() & single.keys() else None


def _margins(pairs: LabelledPairs, log_odds: Array, places: Indices) -> _Margins:
    first, second, label = pairs.first[places], pairs.second[places], pairs.label[places]
    count = 1 + int(max(first.max(), second.max()))
    scores = np.bincount(first, log_odds[places], count) - np.bincount(second, log_odds[places], count)
    right = np.zeros(count, dtype=bool)
    right[first[label == 1]] = right[second[label == 0]] = True
    of_right = scores[right] / count
    return _Margins(float(of_right.min() - scores[~right].max() / count), float(np.ptp(of_right)))


def _score(tied: Mapping[str, _Margins], single: Mapping[str, _Margins]) -> float:
    accuracies = (np.mean([each.right_over_wrong > 0 for each in part.values()]) for part in (tied, single))
    both = sorted(tied.keys() & single.keys())
    margin = np.array([tied[name].right_over_wrong for name in both])
    hard = np.minimum(margin, [single[name].right_over_wrong for name in both])
    spread = np.array([tied[name].among_right for name in both])
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = np.nan_to_num(np.tanh(hard / spread - 1), nan=0.0)
    preferred = np.mean(margin > spread) + np.mean(hard > spread)
    return float(0.3 * sum(accuracies) + 0.2 * preferred + 0.01 * beyond.mean())
