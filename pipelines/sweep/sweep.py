"""`nashflow sweep`: a recipe with each combination of some settings' values, and which of them is best."""

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

from nashflow.components.reports.reported import Reported, read_reported
from nashflow.components.runtime.protocol import PENDING, USER_ERROR
from nashflow.components.storage import layout
from nashflow.components.storage.store import open_store

from ..run import run_recipe, tracking_beside
from ..run_display import Shown
from ..terminal import terminal
from .grid import Member, named, read_members
from .standings import compare, print_standings
from .tracked import RESULT, track

_STOPS = (USER_ERROR, PENDING, 128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of a run after which the others are not begun."""


@dataclass(frozen=True)
class Sweep:
    """A recipe and a grid, as the command line names them."""

    recipe: str
    overrides: Sequence[str]
    grid: Sequence[str]
    root: str
    metric: str
    as_json: bool


def run_sweep(sweep: Sweep, shown: Shown) -> None:
    """Run each combination on this machine, one after the other, and show which is best. The same command goes on.

    A run that fails does not keep the others from running; then the exit code is 1.

    Raises:
        UserError: the grid or a recipe of it is wrong, or figures do not compare.
    """
    members = read_members(sweep.recipe, sweep.overrides, sweep.grid, sweep.root)
    os.environ["MLFLOW_TRACKING_URI"] = os.environ.get("MLFLOW_TRACKING_URI") or tracking_beside(
        open_store(members[0].run_root)
    )
    failed = []
    for member in members:
        if not shown.quiet:
            terminal().print(f"{named(member.values)}: {member.run_root}", style="bold", soft_wrap=True)
        try:
            with _interruptible(), redirect_stdout(StringIO()) if shown.quiet else nullcontext():
                run_recipe(sweep.recipe, [*sweep.overrides, *member.sets], member.run_root, shown)
        except SystemExit as end:
            if end.code in _STOPS:
                raise
            failed.append(named(member.values))
    show_standings(sweep, members)
    if failed:
        print(f"nashflow: failed: {'; '.join(failed)}; the same command resumes them", file=sys.stderr)
        sys.exit(1)


def show_standings(sweep: Sweep, members: Sequence[Member]) -> None:
    """Compare the runs that are finished; on the terminal, in `sweep.json` of the root, and in MLflow."""
    store, console = open_store(sweep.root), terminal()
    finished = [(member, report) for member in members if (report := _finished(member))]
    found: dict[str, Any] = compare(finished, sweep.metric) if finished else {}
    if found:
        store.write(RESULT, json.dumps(found, indent=1).encode())
    if sweep.as_json:
        print(json.dumps(found, indent=1))
    elif found:
        print_standings(finished, found, console)
    if len(finished) < len(members):
        rest = f"{len(finished)} of {len(members)} runs are finished; the same command shows the others when they are"
        print(f"nashflow: {rest}", file=sys.stderr)
    name = f"{members[0].recipe.run.name} sweep"
    if warning := track(name, store, members, found, len(finished) == len(members)):
        print(f"nashflow: warning: {warning}", file=sys.stderr)


def _finished(member: Member) -> Reported | None:
    """The run, if its last iteration is finished."""
    if not open_store(member.run_root).exists(layout.SUMMARY):
        return None
    report = read_reported(member.run_root)
    done = report.summary["iterations"][-1]["iteration"]
    return report if done == member.recipe.run.iterations else None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C works again after a run that has failed, which ignores it while it ends."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
