"""The constraints `words:…`."""

from collections import Counter
from itertools import pairwise
from string import ascii_lowercase, punctuation

from ..checks import rule
from ..nltk_data import PUNKT, TAGGER
from .texts import AROUND, plain_words, sentences, tokens, without_punctuation, word_tokens

CONSONANTS = frozenset("bcdfghjklmnpqrstvwxyz")
PRIMES = frozenset(n for n in range(2, 98) if all(n % divisor for divisor in range(2, n)))
"""Those below 100."""


def alphabet(answer: str) -> bool:
    """Each word begins with the letter of the alphabet after that of the word before, with A after Z."""
    initials = [word[0].lower() for word in without_punctuation(answer).split()]
    if not initials or initials[0] not in ascii_lowercase:
        return False
    first = ascii_lowercase.index(initials[0])
    return all(initial == ascii_lowercase[(first + place) % 26] for place, initial in enumerate(initials))


def vowel(answer: str) -> bool:
    """One paragraph in which at most three of the vowels a, e, i, o and u occur."""
    text = answer.strip().lower()
    return "\n" not in text and len(set(text) & set("aeiou")) <= 3


def consonants(answer: str) -> bool:
    """Each word has two consonants beside each other."""
    return all(
        any(one in CONSONANTS and two in CONSONANTS for one, two in pairwise(word)) for word in answer.lower().split()
    )


def palindrome(answer: str) -> bool:
    """At least ten palindromes of five or more characters, the same one counted each time."""
    return sum(len(word) >= 5 and word == word[::-1] for word in plain_words(answer)) >= 10


def prime_lengths(answer: str) -> bool:
    """Each word's length without punctuation is a prime number below 100."""
    return all(len(word) in PRIMES for word in without_punctuation(answer).split())


def start_verb(answer: str) -> bool:
    """The first word is a verb by NLTK's tagger."""
    from nltk import pos_tag

    tagged = pos_tag(tokens(answer))
    return bool(tagged) and "VB" in tagged[0][1]


def repeats(answer: str, small_n: int) -> bool:
    """No word, in any case, occurs more than `small_n` times."""
    return all(count <= small_n for count in Counter(plain_words(answer)).values())


def odd_even_syllables(answer: str) -> bool:
    """Words with odd and even numbers of syllables, as syllapy counts them, take turns."""
    import syllapy

    return all(one != two for one, two in pairwise(syllapy.count(word) % 2 for word in plain_words(answer)))


def last_first(answer: str) -> bool:
    """Each sentence but the first begins with the last word of the one before."""
    for one, two in pairwise(sentences(answer)):
        before, after = one.rstrip(AROUND).lower().split(), two.lstrip(AROUND).lower().split()
        if not before or before[-1:] != after[:1]:
            return False
    return True


def paragraph_last_first(answer: str) -> bool:
    """Each line ends with the word that it begins with."""
    lines = (line.strip().strip(AROUND).lower().split() for line in answer.split("\n"))
    return all(words[0] == words[-1] for words in lines if words)


def no_consecutive(answer: str) -> bool:
    """No two words in a row begin with the same letter."""
    return all(one[0] != two[0] for one, two in pairwise(plain_words(answer)))


def keywords_specific_position(answer: str, keyword: str, n: int, m: int) -> bool:
    """The `m`-th word of the `n`-th sentence is the keyword, in any case."""
    words = [word_tokens(sentence) for sentence in sentences(answer)[n - 1 : n]]
    return [word.lower() for found in words for word in found[m - 1 : m]] == [keyword.strip().lower()]


def words_position(answer: str, keyword: str) -> bool:
    """The second token and the last but one are the keyword, in any case; punctuation at the end is not counted."""
    words = [word.lower() for word in tokens(answer)]
    if words and words[-1] in punctuation:
        words.pop()
    return len(words) >= 2 and words[1] == words[-2] == keyword.strip().lower()


WORDS = {
    "words:alphabet": rule(alphabet),
    "words:vowel": rule(vowel),
    "words:consonants": rule(consonants),
    "words:palindrome": rule(palindrome),
    "words:prime_lengths": rule(prime_lengths),
    "words:start_verb": rule(start_verb, PUNKT, TAGGER),
    "words:repeats": rule(repeats),
    "words:odd_even_syllables": rule(odd_even_syllables),
    "words:last_first": rule(last_first, PUNKT),
    "words:paragraph_last_first": rule(paragraph_last_first),
    "words:no_consecutive": rule(no_consecutive),
    "words:keywords_specific_position": rule(keywords_specific_position, PUNKT),
    "words:words_position": rule(words_position, PUNKT),
}
