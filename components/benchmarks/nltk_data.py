"""NLTK's data: what of them is here. Nothing is downloaded."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

PUNKT, TAGGER, STOP_WORDS = "punkt_tab", "averaged_perceptron_tagger_eng", "stopwords"
"""For English: sentences, parts of speech, and words that say little."""
_PLACES = {
    PUNKT: f"tokenizers/{PUNKT}/english/",
    TAGGER: f"taggers/{TAGGER}/",
    STOP_WORDS: f"corpora/{STOP_WORDS}/",
}


def is_here(name: str) -> bool:
    """Whether NLTK finds its data of a name."""
    import nltk

    try:
        nltk.data.find(_PLACES[name])
    except LookupError:
        return False
    return True


@contextmanager
def without_download() -> Iterator[None]:
    """Within this block NLTK downloads nothing.

    lm-eval would have it do so when its checks are imported, and would say on stdout that it did.
    """
    import nltk

    download = nltk.download
    nltk.download = lambda *_, **__: False
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        nltk.download = download
