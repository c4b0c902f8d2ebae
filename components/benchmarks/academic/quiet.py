"""lm-eval without its bars and notes: a step speaks for itself."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quietly() -> Iterator[None]:
    """Within this block no bars are drawn, and lm-eval tells of errors alone."""
    from tqdm import tqdm

    drawn, logger = tqdm.__init__, logging.getLogger("lm_eval")
    level = logger.level

    def hidden(bar: Any, *arguments: Any, **settings: Any) -> None:
        drawn(bar, *arguments, **{**settings, "disable": True})

    tqdm.__init__ = hidden
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        tqdm.__init__ = drawn
        logger.setLevel(level)
