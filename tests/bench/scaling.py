"""How time and memory of our step grow: with the vocabulary, with the length of responses, with the number of pairs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from . import preferences, training


class _AtSize(training.Shared):
    """An update on pairs of one size; of those that are not named, prompts of 128 tokens and two pairs."""

    size: ClassVar[Mapping[str, Any]]

    def __init__(self, folder: Path) -> None:
        made = {"prompt": (128, 128), "response": (128, 128), "pairs": 2, **self.size}
        preferences.random_llama(folder / type(self).__name__, **made)
        super().__init__(folder / type(self).__name__)


class Vocabulary8k(_AtSize):
    size: ClassVar[Mapping[str, Any]] = {"shape": {**preferences.SMALL, "vocab_size": 8_000}}


class Vocabulary32k(_AtSize):
    size: ClassVar[Mapping[str, Any]] = {}


class Vocabulary128k(_AtSize):
    size: ClassVar[Mapping[str, Any]] = {"shape": {**preferences.SMALL, "vocab_size": 128_000}}


class Length256(_AtSize):
    size: ClassVar[Mapping[str, Any]] = {"response": (256, 256)}


class Length1024(_AtSize):
    size: ClassVar[Mapping[str, Any]] = {"response": (1024, 1024)}


class Length4096(_AtSize):
    size: ClassVar[Mapping[str, Any]] = {"response": (4096, 4096)}


class Pairs4(_AtSize):
    size: ClassVar[Mapping[str, Any]] = {"pairs": 4}


class Pairs16(_AtSize):
    size: ClassVar[Mapping[str, Any]] = {"pairs": 16}


class Pairs64(_AtSize):
    size: ClassVar[Mapping[str, Any]] = {"pairs": 64}
