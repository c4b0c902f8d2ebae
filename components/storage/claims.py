"""Claims on a run's policies: a run that only points to a policy of another one notes it there, so that it stays."""

import re

from ..core.digests import sha256_bytes
from ..core.errors import UserError, one_line
from . import layout
from .run import read_run
from .store import Store, open_store

_OF_A_RUN = re.compile(rf"(.+)/({layout.POLICIES}/\d+/[^/]+)(?:/[0-9a-f]+)?")


def claim(place: str, run_root: Store) -> None:
    """Note that the run under `run_root` reads the folder or URI `place`, if that is of another run's policy.

    Raises:
        UserError: it cannot be noted, and the other run deletes policies.
    """
    found = made_by(place)
    store, unit = found or (run_root, "")
    run = read_run(store) if store.uri != run_root.uri else None
    if not run:
        return
    try:
        store.create(f"{_folder(unit)}/{sha256_bytes(run_root.uri.encode())[:16]}.txt", run_root.uri.encode())
    except (UserError, OSError) as error:
        if (keep := run.recipe["run"].get("keep", "all")) != "all":
            raise UserError(
                f"policy.model: the run {store.uri} deletes policies (run.keep = {keep}), and it cannot be noted there "
                f"that this one stays ({one_line(error)}): set policy.copy_files to true"
            ) from None


def made_by(place: str) -> tuple[Store, str] | None:
    """The run root and the unit of the policy whose files lie in a folder or URI; None if it is no run's policy.

    Nothing is read: the place alone says so.
    """
    found = _OF_A_RUN.fullmatch(place)
    return (open_store(found[1]), found[2]) if found else None


def claimed(store: Store, unit: str) -> bool:
    """Whether another run reads a policy, given by its unit."""
    return bool(store.list(_folder(unit)))


def claimants(store: Store, unit: str) -> list[str]:
    """The run roots of the runs that read a policy, given by its unit."""
    return [store.read(key).decode() for key in store.list(_folder(unit))]


def _folder(unit: str) -> str:
    return f"{unit}.claims"
