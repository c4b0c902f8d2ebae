"""Values that several processes change, built on nothing but objects that are created once.

A value is a folder of generations, `<key>/000000000042.json`; the one with the highest number stands. To change the
value a process creates the number after the one that it read: of several that do so at once one succeeds. The newest
few are kept, and older ones deleted. A deleted number can be created again, but only by a process that is late: it then
finds a higher number, and knows that it has failed.
"""

import re
from typing import NamedTuple

from .store import Store

_KEPT = 3


class Generation(NamedTuple):
    """A number, and the content that has it."""

    number: int
    data: bytes


def newest(store: Store, key: str) -> Generation | None:
    """The generation that stands; None if there is none yet."""
    while numbers := _numbers(store, key):
        data = _read(store, key, numbers[-1])
        if data is not None:  # else it has been deleted since it was listed: a higher one stands
            return Generation(numbers[-1], data)
    return None


def put(store: Store, key: str, data: bytes, previous: Generation | None) -> bool:
    """Let `data` stand where `previous` stood when the caller read it; False if that is no longer so.

    Of several calls with one `previous` at most one gets True. After False, read again and decide anew: it may be that
    `data` stood for a moment, and that what stands now was built on it.
    """
    number = previous.number + 1 if previous else 1
    if not store.create(_name(key, number), data):
        return False
    numbers = _numbers(store, key)
    if numbers[-1:] != [number]:  # the number was in use before, and deleted: this caller is late
        return False
    if previous and _read(store, key, previous.number) != previous.data:
        # Since this caller read, everything was removed, and somebody has begun anew from 1.
        store.delete(_name(key, number))
        return False
    _delete(store, key, [older for older in numbers if older <= number - _KEPT])
    return True


def age(store: Store, key: str, generation: Generation) -> float:
    """Seconds since a generation was written, by the store's clock; 0 for one that has been replaced meanwhile."""
    try:
        return store.age(_name(key, generation.number))
    except FileNotFoundError:
        return 0.0


def remove(store: Store, key: str, last: Generation) -> None:
    """Delete this generation and all before it. Others that build on it meanwhile get False, or what they put stays."""
    _delete(store, key, [number for number in _numbers(store, key) if number <= last.number])


def _delete(store: Store, key: str, numbers: list[int]) -> None:
    """In their order: until the end the highest of them stands."""
    for number in numbers:
        store.delete(_name(key, number))


def _numbers(store: Store, key: str) -> list[int]:
    """The numbers that there are, in order."""
    found = (re.fullmatch(r"(\d{12})\.json", name.removeprefix(f"{key}/")) for name in store.list(key))
    return sorted(int(match[1]) for match in found if match)


def _read(store: Store, key: str, number: int) -> bytes | None:
    try:
        return store.read(_name(key, number))
    except FileNotFoundError:
        return None


def _name(key: str, number: int) -> str:
    return f"{key}/{number:012d}.json"
