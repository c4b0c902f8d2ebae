"""The constraints `format:…` of lists."""

from ..checks import rule
from ..nltk_data import PUNKT
from .texts import sentences


def separated(answer: str, sep: str) -> bool:
    """The separator occurs at least twice."""
    return answer.count(sep) >= 2


def sub_bullets(answer: str) -> bool:
    """After each * there is a - before the next one; an answer without * follows it too."""
    return all("-" in bullet for bullet in answer.split("*")[1:])


def no_bullets_bullets(answer: str) -> bool:
    """At least two sentences, then at least two lines that begin with *, and nothing after them.

    Before the lines with * there may be one blank line, and no other is allowed.
    """
    lines = [line.strip() for line in answer.split("\n")]
    first = next((place for place, line in enumerate(lines) if line.startswith("*")), len(lines))
    text, bullets = lines[:first], lines[first:]
    return (
        all(text[:-1])
        and sum(len(sentences(line)) for line in text) >= 2
        and len(bullets) >= 2
        and all(line.startswith("*") for line in bullets)
    )


LISTS = {
    "format:list": rule(separated),
    "format:sub-bullets": rule(sub_bullets),
    "format:no_bullets_bullets": rule(no_bullets_bullets, PUNKT),
}
