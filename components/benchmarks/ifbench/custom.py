"""The constraints `custom:…`, but for those of tables: each is a whole request."""

import re
from itertools import pairwise
from string import ascii_lowercase

from ..checks import rule
from ..nltk_data import PUNKT
from .texts import AROUND, ascii_form, plain_words, sentences

_CAPITALS = """
Reykjavik Helsinki Oslo Tallinn Stockholm Riga Moscow Copenhagen Vilnius Minsk Dublin Berlin Amsterdam Warsaw London
Brussels Prague Luxembourg Paris Vienna Bratislava Budapest Vaduz Chisinau Bern Ljubljana Zagreb
"""
CAPITALS = _CAPITALS.split()
COUNTRIES = 52
"""So many lines, from Zimbabwe on, at least."""
BATTLES = range(1769, 1822)
"""The years of Napoleon's life."""
_LAST_DAYS = (99, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""By month; there is none before January, and it is not refused."""


def multiples(answer: str) -> bool:
    """The numbers in it are the multiples of 7 from 14 to 49, in order."""
    return re.findall(r"\d+", answer) == [str(number) for number in range(14, 50, 7)]


def mcq_count_length(answer: str) -> bool:
    """It begins with the first of four questions, labelled "Question" and a number; each has five options, a to e, and
    more characters than the one before."""
    if not answer.startswith("Question"):
        return False
    found = [each.strip() for each in re.split(r"\n*Question \d+[.|):;]?\s*", answer) if each.strip()]
    asked = [_question(each.split("\n")) for each in found]
    longer = all(one < two for (one, _), (two, _) in pairwise(asked))
    return len(asked) == 4 and all(options == 5 for _, options in asked) and longer


def reverse_newline(answer: str) -> bool:
    """From the line with Zimbabwe on there are at least 52 lines, in reverse alphabetical order."""
    lines = [line for each in answer.split("\n") if (line := each.strip(AROUND))]
    first = next((place for place, line in enumerate(lines) if "Zimbabwe" in line), len(lines))
    listed = [ascii_form(line) for line in lines[first:]]
    return len(listed) >= COUNTRIES and listed == sorted(listed, reverse=True)


def word_reverse(answer: str) -> bool:
    """Read backwards word by word, it has "bald eagle"."""
    return "bald eagle" in " ".join(plain_words(answer)[::-1])


def character_reverse(answer: str) -> bool:
    """It has "bald eagle" letter by letter backwards, in any case."""
    return "elgae dlab" in answer.lower()


def sentence_alphabet(answer: str) -> bool:
    """26 sentences, which begin with the letters of the alphabet in order; one in quotation marks does not."""
    return [sentence.lstrip()[:1].lower() for sentence in sentences(answer)] == list(ascii_lowercase)


def european_capitals_sort(answer: str) -> bool:
    """The capitals of Europe north of 45 degrees from north to south, with commas between them; diacritics may lack."""
    return [capital for each in ascii_form(answer).split(",") if (capital := each.strip())] == CAPITALS


def date_format_list(answer: str) -> bool:
    """Dates in Napoleon's life as YYYY-MM-DD, with commas between them."""
    return all(_napoleonic(date.strip()) for date in answer.split(","))


def _question(lines: list[str]) -> tuple[int, int]:
    """The length of a question's text and the number of its options."""
    options = [bool(re.match(r"[A-Ea-e][.|)]\s*\w+", line.strip())) for line in lines]
    asked = lines[: options.index(True)] if any(options) else lines
    return len(" ".join(line.strip() for line in asked).strip()), sum(options)


def _napoleonic(date: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        return False
    year, month, day = map(int, date.split("-"))
    return year in BATTLES and month < len(_LAST_DAYS) and day <= _LAST_DAYS[month]


CUSTOM = {
    "custom:multiples": rule(multiples),
    "custom:mcq_count_length": rule(mcq_count_length),
    "custom:reverse_newline": rule(reverse_newline),
    "custom:word_reverse": rule(word_reverse),
    "custom:character_reverse": rule(character_reverse),
    "custom:sentence_alphabet": rule(sentence_alphabet, PUNKT),
    "custom:european_capitals_sort": rule(european_capitals_sort),
    "custom:date_format_list": rule(date_format_list),
}
