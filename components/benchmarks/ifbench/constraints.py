"""The 58 constraints of IFBench (arXiv 2507.02833), by the names that its questions have for them.

They decide as the benchmark's own verification functions do (allenai/IFBench at commit db69a6f), also where these are
laxer or stricter than what the model is told.
"""

from collections.abc import Mapping

from ..checks import Check
from .count import COUNT
from .custom import CUSTOM
from .formats import FORMATS
from .lists import LISTS
from .ratio import RATIO
from .repeat import REPEAT
from .sentence import SENTENCE
from .tables import TABLES
from .words import WORDS

CONSTRAINTS: Mapping[str, Check] = {
    **COUNT,
    **RATIO,
    **WORDS,
    **SENTENCE,
    **FORMATS,
    **LISTS,
    **CUSTOM,
    **TABLES,
    **REPEAT,
}
