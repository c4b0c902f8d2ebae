"""The constraints `ratio:…`."""

import re

from ..checks import rule
from ..nltk_data import PUNKT, STOP_WORDS
from .texts import sentences


def stop_words(answer: str, percentage: float) -> bool:
    """At most so many per cent of the words are English stop words, as NLTK lists them."""
    from nltk.corpus import stopwords

    words, stops = re.findall(r"\w+", answer), frozenset(stopwords.words("english"))
    return bool(words) and sum(word.lower() in stops for word in words) / len(words) * 100 <= percentage


def sentence_type(answer: str) -> bool:
    """Twice as many sentences that end with a full stop as with a question mark."""
    ends = _ends(answer)
    return ends.count(".") == 2 * ends.count("?")


def sentence_balance(answer: str) -> bool:
    """As many sentences end with a full stop as with a question mark and as with an exclamation mark."""
    ends = _ends(answer)
    return ends.count(".") == ends.count("?") == ends.count("!")


def overlap(answer: str, reference_text: str, percentage: float) -> bool:
    """Of the answer's different trigrams of characters, so many per cent are in the reference text, give or take 2."""
    ours, theirs = _trigrams(answer), _trigrams(reference_text)
    return bool(ours) and percentage - 2 <= len(ours & theirs) / len(ours) * 100 <= percentage + 2


def sentence_words(answer: str) -> bool:
    """Three sentences with equally many characters; that they share no words, as they are to, is not looked at."""
    lengths = [len(sentence.strip()) for sentence in sentences(answer)]
    return len(lengths) == 3 and len(set(lengths)) == 1


def _ends(answer: str) -> list[str]:
    return [sentence[-1:] for sentence in sentences(answer)]


def _trigrams(text: str) -> set[str]:
    return {text[start : start + 3] for start in range(len(text) - 2)}


RATIO = {
    "ratio:stop_words": rule(stop_words, STOP_WORDS),
    "ratio:sentence_type": rule(sentence_type, PUNKT),
    "ratio:sentence_balance": rule(sentence_balance, PUNKT),
    "ratio:overlap": rule(overlap),
    "ratio:sentence_words": rule(sentence_words, PUNKT),
}
