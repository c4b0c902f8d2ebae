"""Which runs are compared: run roots, or runs of MLflow by name, id, tag, experiment or search string."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nashflow.components.core.errors import UserError
from nashflow.components.core.redaction import redact
from nashflow.components.core.settings import nearest
from nashflow.components.storage import layout
from nashflow.components.storage.store import open_store
from nashflow.components.tracking.mlflow_store import failure_line, sqlite_uri
from nashflow.components.tracking.reaching import reached
from nashflow.components.tracking.tags import KIND, RECIPE, RUN, RUN_ROOT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MOST = 30
"""How many runs are compared at most: tables and pages of more say little."""
_OURS = f"tags.`{KIND}` = '{RUN}'"
_NAMES, _ID = 1000, re.compile(r"[0-9a-f]{32}")
_STORE = Path("runs/mlflow.db")
"""Where runs on this machine are tracked unless something else is said."""


@dataclass(frozen=True)
class Wanted:
    """The runs that a command line asks for."""

    names: Sequence[str]
    """Run roots, or in MLflow names, ids, or names of recipes."""
    experiment: str = ""
    tags: Sequence[str] = ()
    """As KEY=VALUE."""
    search: str = ""
    baseline: str = ""
    """One more of `names`, which comes first; empty: the first that is found."""


class Found(NamedTuple):
    """A run root."""

    run_root: str
    named: bool
    """Whether it was asked for by its own name, and not by what it has in common with others."""


def find(wanted: Wanted) -> list[Found]:
    """The run roots, the baseline's first, each once.

    Raises:
        UserError: nothing is asked for or found, a name is unknown (the nearest are named), too many are found, or
            MLflow does not answer, refuses, or is older than 3.
    """
    names = [*([wanted.baseline] if wanted.baseline else []), *wanted.names]
    several = bool(wanted.tags or wanted.search or (wanted.experiment and not wanted.names))
    if not names and not several:
        raise UserError("nothing to compare: give run roots or names of runs, or --experiment, --tag or --search")
    unknown = [name for name in names if not _is_root(name)]
    if unknown or several:
        _name_the_store(unknown)
        with reached() as client:
            tracked = _Tracked(client, wanted.experiment)
            found = [each for name in names for each in _named(name, tracked)]
            found += [Found(root, named=False) for root in tracked.search(wanted)] if several else []
    else:
        found = [Found(name, named=True) for name in names]
    distinct = {open_store(each.run_root).uri: each for each in reversed(found)}
    first = dict.fromkeys(open_store(each.run_root).uri for each in found)
    return _counted([distinct[uri] for uri in first])


def _is_root(name: str) -> bool:
    return "://" in name or open_store(name).exists(layout.RUN)


def _name_the_store(unknown: Sequence[str]) -> None:
    """Let MLFLOW_TRACKING_URI name the store of this folder's runs, if nothing is said."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return
    if not _STORE.exists():
        what = f"{unknown[0]}: no run root; to find runs in MLflow" if unknown else "to find runs in MLflow"
        raise UserError(f"{what}, set MLFLOW_TRACKING_URI: {_STORE} is not here")
    os.environ["MLFLOW_TRACKING_URI"] = sqlite_uri(_STORE.absolute())


def _counted(found: Sequence[Found]) -> list[Found]:
    if len(found) > MOST:
        raise UserError(f"more than {MOST} runs are found, which are too many to compare: add --tag or --search")
    if len(found) < 2:
        raise UserError("one run alone is found: give another to compare it with, or see it with nashflow report")
    return list(found)


def _named(name: str, tracked: "_Tracked") -> Iterator[Found]:
    roots = [name] if _is_root(name) else tracked.named(name)
    yield from (Found(root, named=True) for root in roots)


@dataclass(frozen=True)
class _Tracked:
    """The runs in MLflow."""

    client: "MlflowClient"
    experiment: str

    def named(self, name: str) -> list[str]:
        """The run roots of all runs of a name, or of an id, or else of a recipe's name."""
        key = "run_id" if _ID.fullmatch(name) else "run_name"
        for condition in (f"attributes.{key} = {_quoted(name)}", f"tags.`{RECIPE}` = {_quoted(name)}"):
            if runs := self._search(condition, MOST + 1):
                return [_root(run) for run in runs]
        names = {run.info.run_name or "" for run in self._search("", _NAMES)}
        where = f"no run root, and MLflow at {self._where} has no run of this name or id"
        raise UserError(f"{name}: {where}{nearest(name, names)}" if names else f"{name}: {where}, nor any other")

    def search(self, wanted: Wanted) -> list[str]:
        """The run roots of the runs with some tags that a search string finds."""
        filters = [_tagged(tag) for tag in wanted.tags] + ([wanted.search] if wanted.search else [])
        if runs := self._search(" AND ".join(filters), MOST + 1):
            return [_root(run) for run in runs]
        asked = " and ".join([*wanted.tags, *([wanted.search] if wanted.search else [])])
        what = asked or f"experiment {self.experiment}"
        raise UserError(f"{what}: MLflow at {self._where} has no run of NashFlow's like this")

    def _search(self, filters: str, most: int) -> Sequence["Run"]:
        """The runs of run roots, the oldest first."""
        from mlflow.exceptions import MlflowException

        string = f"{_OURS} AND {filters}" if filters else _OURS
        try:
            return self.client.search_runs(self._experiments, string, max_results=most, order_by=["start_time"])
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise UserError(f"--search: MLflow does not understand {filters}: {failure_line(error)}") from None

    @property
    def _where(self) -> str:
        return redact(self.client.tracking_uri)

    @cached_property
    def _experiments(self) -> list[str]:
        """The ids of the experiment, or of all."""
        every = {each.name: each.experiment_id for each in self.client.search_experiments()}
        if not self.experiment:
            return list(every.values())
        if self.experiment not in every:
            raise UserError(f"--experiment {self.experiment}: not in {self._where}{nearest(self.experiment, every)}")
        return [every[self.experiment]]


def _root(run: "Run") -> str:
    """Where a run of MLflow has its data.

    Raises:
        UserError: it does not say, or that is not here.
    """
    name, root = run.info.run_name, run.data.tags.get(RUN_ROOT, "")
    if not root:
        raise UserError(f"{name}: its run in MLflow has no tag {RUN_ROOT}: give its run root instead of its name")
    if "://" not in root and not os.path.isdir(root):
        raise UserError(
            f"{name}: its run root {root} is not on this machine: compare it there, or give where it is now"
        )
    return root


def _tagged(tag: str) -> str:
    key, equals, value = tag.partition("=")
    if not (equals and key):
        raise UserError(f"--tag {tag}: give KEY=VALUE, such as team=alignment")
    return f"tags.`{key}` = {_quoted(value)}"


def _quoted(text: str) -> str:
    """A text in a search string."""
    if "'" in text and '"' in text:
        raise UserError(f"{text}: MLflow finds no text with both kinds of quotation marks: give the run's id or root")
    return f'"{text}"' if "'" in text else f"'{text}'"
