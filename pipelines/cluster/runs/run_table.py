"""`nashflow runs`: the newest runs and their outcomes."""

import itertools
import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from nashflow.components.core.errors import UserError, one_line
from nashflow.components.storage import layout
from nashflow.components.storage.outcome import Outcome
from nashflow.components.storage.run import read_run
from nashflow.components.storage.store import Store, open_store

from ..api.bounded import within
from ..api.clock import in_words, known, seconds_between
from ..api.connection import Connection
from .outcomes import outcome_in_words
from .run_root import outcome_of, run_root_of
from .tasks import FINISHED

_SECONDS = 10.0


class _Told(NamedTuple):
    """Data of a run from its run root."""

    outcome: Outcome | None = None
    method: str = ""
    iterations: str = ""
    result: str = ""
    """The duality gap of the last policy; where it is not known, its win rate."""


def print_runs(connection: Connection, experiment: str, limit: int, console: Console) -> None:
    """The newest runs: name, what became of it, method and T, result, when, how long, where it lies and is seen.

    What only a run root says is left out where it cannot be read; one line on stderr says why.

    Raises:
        UserError: no such experiment.
    """
    options = {"namespace": connection.namespace} if connection.namespace else {}
    if experiment:
        method = connection.client.experiments.experiment_service_list_experiments
        found = connection.find(method, "experiments", experiment, **options)
        if not found:
            raise UserError(f"--experiment {experiment}: {connection.access} knows no such experiment")
        options = {"experiment_id": found[0].experiment_id}
    method = connection.client.runs.run_service_list_runs
    newest = list(itertools.islice(connection.every(method, "runs", sort_by="created_at desc", **options), limit))
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("name", "outcome", "method", "T", "result", "created", "duration", "run root", "link"):
        table.add_column(column, overflow="fold")
    for run, told in zip(newest, _told_by_roots(newest), strict=True):
        created = known(run.created_at)
        cells = (
            run.display_name,
            outcome_in_words(run, told.outcome),
            told.method,
            told.iterations,
            told.result if run.state == "SUCCEEDED" else "",
            f"{created:%Y-%m-%d %H:%M:%S}" if created else "",
            in_words(seconds_between(run.created_at, run.finished_at if run.state in FINISHED else None)),
            run_root_of(run),
            connection.link(run.run_id),
        )
        table.add_row(*cells)
    console.print(table)


def _told_by_roots(runs: Sequence[Any]) -> list[_Told]:
    """What the run roots say, all at the same time; those of one bucket share a connection."""
    roots = {run.run_id: root for run in runs if (root := run_root_of(run))}
    places = sorted(set(map(_place, roots.values())))
    stores = dict(zip(places, within(_SECONDS, [partial(open_store, place) for place in places]), strict=True))
    calls = [partial(_told_by_root, job, root, stores[_place(root)]) for job, root in roots.items()]
    answers = dict(zip(roots, within(_SECONDS, calls), strict=True))
    unread = [answer for answer in answers.values() if isinstance(answer, Exception)]
    if unread:
        said = f"{len(unread)} of {len(runs)} run roots cannot be read: {one_line(unread[0])}"
        print(f"nashflow: {said}: the other columns come from KFP", file=sys.stderr)
    told = {job: answer for job, answer in answers.items() if isinstance(answer, _Told)}
    return [told.get(run.run_id, _Told()) for run in runs]


def _place(root: str) -> str:
    """The bucket that a run root is in."""
    return "/".join(root.split("/")[:3]) if "://" in root else root


def _told_by_root(job: str, root: str, place: Store | Exception) -> _Told:
    if isinstance(place, Exception):
        raise place
    store = place.at(root.removeprefix(_place(root)).strip("/"))
    outcome, run, result = outcome_of(store, job), read_run(store), _result(store)
    if not run:
        return _Told(outcome)
    return _Told(outcome, run.recipe["method"]["name"], str(run.recipe["run"]["iterations"]), result)


def _result(store: Store) -> str:
    """The last figures of a run root's report; empty where there is none."""
    try:
        last = json.loads(store.read(layout.SUMMARY))["iterations"][-1]
    except FileNotFoundError:
        return ""
    if (gap := last.get("duality_gap")) is not None:
        return f"gap {gap:.4g}"
    rate = last.get("win_rate")
    return "" if rate is None else f"win rate {rate:.3f}"
