"""The constraints `format:…`, but for those of lists."""

import re
import string
from itertools import pairwise

from ..checks import rule
from ..nltk_data import PUNKT
from .texts import AROUND, sentences, tokens, without_punctuation

_CLOSES = {")": "(", "]": "[", "}": "{"}
_BUT_QUOTES = string.digits + string.punctuation.replace('"', "")


def parentheses(answer: str) -> bool:
    """Brackets of any kind nest five deep, and the innermost closes; one that does not match begins anew."""
    opened: list[str] = []
    deepest = 0
    for mark in answer:
        if mark in _CLOSES.values():
            opened.append(mark)
            deepest = max(deepest, len(opened))
        elif mark in _CLOSES:
            if opened[-1:] != [_CLOSES[mark]]:
                opened, deepest = [], 0
            elif deepest >= 5:
                return True
            else:
                opened.pop()
    return False


def quotes(answer: str) -> bool:
    """Quotation marks, double and single in turns, nest three deep and close again; an apostrophe counts as one."""
    opened: list[str] = []
    deepest = 0
    for mark in answer:
        if opened[-1:] == [mark]:
            opened.pop()
            if deepest - len(opened) >= 3:
                return True
        elif mark in ('"', "'"):
            opened.append(mark)
            deepest = max(deepest, len(opened))
    return False


def options(answer: str, options: str) -> bool:
    """One of the options, which a slash, "or" or a comma separates; to the letter where they are a, b, c, …, else in
    any case and whatever punctuation is around it."""
    separator = next((mark for mark in ("/", "or") if mark in options), ",")
    choices = [choice.strip() for choice in options.split(separator)]
    if re.match(r"\W*[aA]\W*[bB]\W*[cC]\W*", options):
        return answer in choices
    return answer.strip(AROUND).lower() in [choice.strip(AROUND).lower() for choice in choices]


def newline(answer: str) -> bool:
    """As many lines that are not empty as words, punctuation apart."""
    text = without_punctuation(answer).strip()
    return sum(line != "" for line in text.split("\n")) == len(text.split())


def emoji(answer: str) -> bool:
    """Each sentence ends with an emoji, or the next one begins with it."""
    found = [without_punctuation(sentence).strip() for sentence in sentences(answer)]
    following = [*found[1:], ""]
    return all(
        one != "" and (any(map(_is_emoji, one[-2:])) or _is_emoji(two[:1]))
        for one, two in zip(found, following, strict=True)
    )


def line_indent(answer: str) -> bool:
    """Each line is indented by more blanks than the one before; of two blank lines in a row the second counts."""
    lines, place = answer.split("\n"), 0
    while place < len(lines):
        if not lines[place].strip():
            lines.remove(lines[place])
        place += 1
    return all(one < two for one, two in pairwise(len(line) - len(line.lstrip(" ")) for line in lines))


def quote_unquote(answer: str) -> bool:
    """No quotation in straight marks follows right upon another, and none ends the answer, punctuation and digits
    apart."""
    text = "".join(answer.replace("'\"'", "").split())
    return '""' not in text and not text.strip(_BUT_QUOTES).endswith('"')


def thesis(answer: str) -> bool:
    """There is text in the HTML of italics, and text after it; with <em> in the place of <i> it is enough that both
    tags are there."""
    start = next((at for tag in ("<i>", "<em>") if (at := answer.find(tag)) >= 0), len(answer))
    text = answer[start:]
    end = next((at for tag in ("</i>", "</em>") if (at := text.find(tag)) >= 0), 0)
    return end > 0 and text[3:end].strip() != "" and text[end + 4 :].strip() != ""


def title_case(answer: str) -> bool:
    """No word begins with a small letter, unless it has capitals and small letters after it."""
    words = [token for token in tokens(answer) if token[0].isalpha() and token[0].islower()]
    return all(len(word) > 1 and not word[1:].islower() and not word[1:].isupper() for word in words)


def output_template(answer: str) -> bool:
    """It has the labels "My Answer:", "My Conclusion:" and "Future Outlook:", in any order."""
    return all(label in answer for label in ("My Answer:", "My Conclusion:", "Future Outlook:"))


def no_whitespace(answer: str) -> bool:
    """No white space."""
    return not any(map(str.isspace, answer))


def _is_emoji(character: str) -> bool:
    import emoji

    return emoji.is_emoji(character)


FORMATS = {
    "format:parentheses": rule(parentheses),
    "format:quotes": rule(quotes),
    "format:options": rule(options),
    "format:newline": rule(newline),
    "format:emoji": rule(emoji, PUNKT),
    "format:line_indent": rule(line_indent),
    "format:quote_unquote": rule(quote_unquote),
    "format:thesis": rule(thesis),
    "format:title_case": rule(title_case, PUNKT),
    "format:output_template": rule(output_template),
    "format:no_whitespace": rule(no_whitespace),
}
