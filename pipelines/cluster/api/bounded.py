"""Calls that may take for ever, such as those of a store that no network leads to, given some seconds and no more."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from nashflow.components.core.errors import UserError

T = TypeVar("T")


def within(seconds: float, calls: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Run the calls at the same time; returns their results or exceptions, TimeoutError after `seconds`.

    Such a one is left to itself, in a thread that does not keep the process from ending.
    """
    answers: list[T | Exception] = [TimeoutError(f"no answer in {seconds:g} s") for _ in calls]

    def answer(number: int) -> None:
        try:
            answers[number] = calls[number]()
        except Exception as error:
            answers[number] = error

    threads = [threading.Thread(target=answer, args=(number,), daemon=True) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return answers.copy()


def bounded(look: Callable[[], T], seconds: float) -> T:
    """What a look into a store returns.

    Raises:
        UserError, OSError: as it does; every other exception, and none in `seconds`, is a ConnectionError or OSError.
    """
    (answer,) = within(seconds, [look])
    if isinstance(answer, UserError | OSError):
        raise answer
    if isinstance(answer, Exception):  # botocore's are of many kinds
        raise ConnectionError(f"{type(answer).__name__}: {answer}") from answer
    return answer
