"""The constraints `sentence:…`."""

import re
from itertools import groupby, pairwise

from ..checks import rule
from ..nltk_data import PUNKT
from .texts import AROUND, sentences, without_punctuation


def alliteration_increment(answer: str) -> bool:
    """Each sentence has more alliterating words than the one before: words beside one with the same first letter."""
    return all(one < two for one, two in pairwise(map(_alliterating, sentences(answer))))


def keyword(answer: str, word: str, N: int) -> bool:
    """The `N`-th sentence has the keyword as a whole word, in any case."""
    pattern = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    return any(pattern.search(sentence) for sentence in sentences(answer)[N - 1 : N])


def increment(answer: str, small_n: int) -> bool:
    """Each sentence has exactly `small_n` words more than the one before."""
    lengths = [len(without_punctuation(sentence).split()) for sentence in sentences(answer)]
    return all(two == one + small_n for one, two in pairwise(lengths))


def _alliterating(sentence: str) -> int:
    initials = [word[0] for each in sentence.lower().split() if (word := each.lstrip(AROUND))]
    runs = [len(list(run)) for _, run in groupby(initials)]
    return sum(length for length in runs if length > 1)


SENTENCE = {
    "sentence:alliteration_increment": rule(alliteration_increment, PUNKT),
    "sentence:keyword": rule(keyword, PUNKT),
    "sentence:increment": rule(increment, PUNKT),
}
