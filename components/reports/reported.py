"""A run with its summary, as reports are made from it, and whether several are of one world, so that they compare."""

from typing import Any, NamedTuple

from ..core.errors import UserError
from ..storage.run import Run, flatten, require_run
from ..storage.store import Store, open_store
from .summary import summarise

_MEASURED_WITH = ("evaluation.tau", "evaluation.temperature")
"""The settings that figures are measured with; figures measured with different settings are not comparable."""


class Reported(NamedTuple):
    """A run, where it lies, and the summary of its finished iterations."""

    store: Store
    run: Run
    summary: dict[str, Any]


def read_reported(run_root: str) -> Reported:
    """The run under a run root.

    Raises:
        UserError: there is no run, or nothing in it is finished.
    """
    store = open_store(run_root)
    run = require_run(store)
    return Reported(store, run, summarise(store, run, run.recipe["run"]["iterations"]))


def check_one_world(one: Reported, other: Reported) -> None:
    """Raise if runs are of different worlds. Files are compared by digest, not by path.

    Raises:
        UserError: says what differs.
    """
    here, there = (flatten(report.run.recipe) for report in (one, other))
    changed = {
        key: f"{key} is {here.get(key)!r} and {there.get(key)!r}"
        for key in sorted(here | there)
        if here.get(key) != there.get(key)
    }
    differing = [changed[key] for key in _MEASURED_WITH if key in changed]
    for named, digest in one.run.inputs.items():
        if other.run.inputs[named] != digest:
            section = ", ".join(text for key, text in changed.items() if key.startswith(f"{named}."))
            differing.append(f"other {named} ({section or 'under the same settings'})")
    if differing:
        raise UserError(
            f"{one.store.uri} and {other.store.uri} are not of the same world, so their figures are not comparable: "
            f"{'; '.join(differing)}"
        )
