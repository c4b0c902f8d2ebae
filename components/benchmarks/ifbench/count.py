"""The constraints `count:…`."""

import re

from ..checks import rule
from ..nltk_data import PUNKT
from .texts import AROUND, tokens, without_punctuation

_NAMES = """
Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia Benjamin Harper Leo
Zoe Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett Nathan Victoria Elijah Layla
Nicholas Audrey David Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph Claire Ryan Stella Jonathan
"""
NAMES = tuple(_NAMES.split())
CONJUNCTIONS = frozenset({"and", "but", "for", "nor", "or", "so", "yet"})
_PRONOUNS = """
i me we us you he him she her it they them my mine our ours your yours his hers its their theirs myself ourselves
yourself yourselves himself herself itself themselves this that these those who whom whose which what whoever whomever
whatever whichever anybody anyone anything everybody everyone everything nobody nothing somebody someone something each
either neither both all some any none
"""
PRONOUNS = frozenset(_PRONOUNS.split())
_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
"""Hiragana, Katakana and Kanji."""
_INTERROBANGS = ("?!", "!?", chr(0x203D))


def word_count_range(answer: str, min_words: int, max_words: int) -> bool:
    """From `min_words` to `max_words` words: runs of letters, digits and underscores."""
    return min_words <= len(re.findall(r"\w+", answer)) <= max_words


def unique_word_count(answer: str, N: int) -> bool:
    """At least `N` different words, in any case, without punctuation at their ends; punctuation alone counts as one."""
    return len({word.strip(AROUND) for word in answer.lower().split()}) >= N


def conjunctions(answer: str, small_n: int) -> bool:
    """At least `small_n` different coordinating conjunctions; "And" differs from "and", and "but," from "but"."""
    return len({word for word in answer.split() if word.strip(AROUND).lower() in CONJUNCTIONS}) >= small_n


def person_names(answer: str, N: int) -> bool:
    """At least `N` different names of a list of fifty, as whole words."""
    return sum(bool(re.search(rf"\b{name}\b", answer)) for name in NAMES) >= N


def numbers(answer: str, N: int) -> bool:
    """Exactly `N` numbers in digits; 3.14 and 100,000 are one number each."""
    return len(re.findall(r"\d+", without_punctuation(answer))) == N


def punctuation(answer: str) -> bool:
    """Each of . , ! ? ; : at least once, besides an interrobang: ?!, !? or ‽."""
    interrobang = next((mark for mark in _INTERROBANGS if mark in answer), None)
    rest = answer.replace(interrobang, "", 1) if interrobang else ""
    return all(mark in rest for mark in ".,!?;:")


def words_japanese(answer: str, N: int) -> bool:
    """Every `N`-th word has a Japanese character, or is a number or punctuation."""
    every = [word.strip(AROUND) for word in answer.split()[N - 1 :: N]]
    return all(_JAPANESE.search(word) for word in every if word and not word.isdigit())


def pronouns(answer: str, N: int) -> bool:
    """At least `N` pronouns, the same one counted each time; she/her are two."""
    return sum(token in PRONOUNS for token in tokens(answer.replace("/", " ").lower())) >= N


def keywords_multiple(answer: str, keyword1: str, keyword2: str, keyword3: str, keyword4: str, keyword5: str) -> bool:
    """The five keywords exactly once, twice, three, five and seven times, in any case, also within longer words."""
    keywords = (keyword1, keyword2, keyword3, keyword4, keyword5)
    counts = [answer.lower().count(keyword.strip().lower()) for keyword in keywords]
    return counts == [1, 2, 3, 5, 7]


COUNT = {
    "count:word_count_range": rule(word_count_range),
    "count:unique_word_count": rule(unique_word_count),
    "count:conjunctions": rule(conjunctions),
    "count:person_names": rule(person_names),
    "count:numbers": rule(numbers),
    "count:punctuation": rule(punctuation),
    "count:words_japanese": rule(words_japanese),
    "count:pronouns": rule(pronouns, PUNKT),
    "count:keywords_multiple": rule(keywords_multiple),
}
