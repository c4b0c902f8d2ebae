"""Units whose files are deleted on purpose: they stay finished, and their manifests stay, but nothing can be read.

The reason is written before the first file goes, so a deletion that is interrupted is finished by repeating it.
"""

from . import layout
from .claims import claimed
from .store import Store


def drop(store: Store, key: str, reason: str) -> None:
    """Delete the files of the unit `key`, unless another run claims them; `reason` says why, for people.

    A run claims them before it looks whether they are dropped: of the two, one sees the other.
    """
    if store.create(_key(key), reason.encode()) and claimed(store, key):
        restore(store, key)
    else:
        _delete_files(store, key)


def dropped(store: Store, key: str) -> str:
    """Why the unit's files have been deleted; empty if they have not."""
    try:
        return store.read(_key(key)).decode()
    except FileNotFoundError:
        return ""


def restore(store: Store, key: str) -> None:
    """The unit's files are written again."""
    store.delete(_key(key))


def undo(store: Store, key: str) -> None:
    """Delete a unit as a whole; its manifest goes last, so that a deletion that is interrupted can be repeated."""
    _delete_files(store, key)
    store.delete(f"{key}{layout.MANIFEST}")


def _delete_files(store: Store, key: str) -> None:
    for file in store.list(key):
        store.delete(file)


def _key(key: str) -> str:
    return f"{key}.dropped.txt"
