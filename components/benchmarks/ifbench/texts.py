"""How constraints tell the words and sentences of a text."""

import string

AROUND = string.punctuation + " "
"""What is no part of a word at its ends."""
_REMOVED = str.maketrans("", "", string.punctuation)


def without_punctuation(text: str) -> str:
    """The text without ASCII punctuation."""
    return text.translate(_REMOVED)


def plain_words(text: str) -> list[str]:
    """Its words between white space, in lower case, without punctuation."""
    return without_punctuation(text.lower()).split()


def sentences(text: str) -> list[str]:
    """Its sentences, by NLTK's Punkt for English."""
    from nltk import sent_tokenize

    found: list[str] = sent_tokenize(text)
    return found


def tokens(text: str) -> list[str]:
    """Its words and punctuation marks, by NLTK."""
    from nltk import word_tokenize

    found: list[str] = word_tokenize(text)
    return found


def word_tokens(text: str) -> list[str]:
    """Those of its tokens that have a letter or a digit."""
    return [token for token in tokens(text) if any(map(str.isalnum, token))]


def ascii_form(text: str) -> str:
    """The text without diacritics and without what has no ASCII form: São Tomé is Sao Tome."""
    import unicodedata

    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
