"""What a user names: a registered model, a run, a policy, a file of a run, or a file that runs may have read."""

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nashflow.components.core.digests import sha256_file
from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import nearest
from nashflow.components.models.named import find
from nashflow.components.models.weights import shards, weights_digest
from nashflow.components.registry.champions import Registry
from nashflow.components.registry.version import Version
from nashflow.components.storage import layout
from nashflow.components.storage.claims import made_by
from nashflow.components.storage.store import Store, open_store
from nashflow.components.tracking.tags import URI

from ..gc.inventory import RunRoot
from .registered import SCHEME, Mlflow
from .units import Units

_LOGGED, _RUN_ID = re.compile(r"m-[0-9a-f]{32}"), re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{12,64}")
_OF_A_POLICY = re.compile(r"(.+)@\d+")


@dataclass(frozen=True)
class Named:
    """What was named: a run, or some of its units."""

    what: str
    """In words."""
    store: Store
    units: tuple[str, ...] = ()
    """Empty: all of the run."""
    registered: Version | None = None


class NoRun(UserError):
    """What was named is a file that no run under the folder or prefix made."""


def resolve(named: str, runs: Sequence[RunRoot], mlflow: Mlflow, prefix: str) -> Named:
    """Find what `named` is; `runs` are those right below `prefix`.

    Raises:
        NoRun: it is a file or folder from outside of runs, with a content that none of the runs has.
        UserError: it is nothing that is known; says what it may be.
    """
    model_id = named.removeprefix(SCHEME)
    if _LOGGED.fullmatch(model_id):
        return _of_model(named, mlflow.model(model_id))
    if named.startswith(SCHEME):
        return _of_version(named, Registry.named(named))
    if _there(named) or _of_run_root(named):
        return _by_place(named, runs, prefix)
    if found := [run.uri for run in runs if posixpath.basename(run.uri) in (named, named.rpartition("@")[0])]:
        return _by_place(found[0] + named.removeprefix(posixpath.basename(found[0])), runs, prefix)
    if _RUN_ID.fullmatch(named):
        return Named(f"the MLflow run {named}", open_store(mlflow.run_root(named)))
    if _DIGEST.fullmatch(named):
        return _with_digests({named}, runs, f"the digest {named}", prefix)
    return _by_name(named, runs, mlflow, prefix)


def _of_version(named: str, version: Version) -> Named:
    store, unit = version.store(), f"{layout.POLICIES}/{version.policy}"
    return Named(f"{named}, {unit} of {store.uri}", store, (unit,), version)


def _of_model(named: str, tags: Mapping[str, str]) -> Named:
    """The policy that a logged model is.

    Raises:
        UserError: it is no policy of a run.
    """
    place = tags.get(URI, "")
    if not (found := made_by(place)):
        raise UserError(
            f"{named}: is at {place or 'no place that it names'}, which is no policy of a run: name its run"
        )
    store, unit = found
    return Named(f"{named}, {unit} of {store.uri}", store, (unit,))


def _there(named: str) -> bool:
    if "://" not in named:
        return os.path.exists(os.path.expanduser(named))
    store, name = _split(named)
    return store.exists(name) or bool(store.entries(name))


def _split(place: str) -> tuple[Store, str]:
    """The store of the folder that holds a path or URI, and the name in it."""
    folder, name = posixpath.split(place.rstrip("/"))
    return open_store(folder or "."), name


def _of_run_root(named: str) -> bool:
    return bool((match := _OF_A_POLICY.fullmatch(named)) and _is_run_root(match[1]))


def _is_run_root(place: str) -> bool:
    return ("://" in place or os.path.isdir(place)) and open_store(place).exists(layout.RUN)


def _by_place(named: str, runs: Sequence[RunRoot], prefix: str) -> Named:
    """A run root, one of its policies (`RUN_ROOT@3`), something below it, or a file from outside."""
    if _of_run_root(named):
        store, reference = find(named)
        unit = f"{layout.POLICIES}/{reference}"
        return Named(f"{unit} of {store.uri}", store, (unit,))
    place = named.rstrip("/") if "://" in named else os.path.abspath(os.path.expanduser(named))
    above, key = place, ""
    while above.strip("/") and not above.endswith(":"):  # up to the root folder, or the bucket
        if _is_run_root(above):
            return _inside(open_store(above), key)
        above, name = posixpath.split(above)
        key = f"{name}/{key}" if key else name
    return _with_digests(_digests(place), runs, place, prefix)


def _inside(store: Store, key: str) -> Named:
    if key in ("", layout.RUN):
        return Named(f"the run {store.uri}", store)
    unit = Units.under(store).unit_of(key)
    return Named(f"{store.location(key)}, of {unit} of {store.uri}", store, (unit,))


def _digests(place: str) -> set[str]:
    """The SHA-256 of a file, or of the weights in a folder; empty for another folder."""
    if "://" in place:
        store, name = _split(place)
        if not store.exists(name):
            return set()
        with TemporaryDirectory(prefix="nashflow-trace-") as scratch:
            store.download(name, Path(scratch, "file"))
            return {sha256_file(Path(scratch, "file"))}
    path = Path(place)
    if path.is_dir():
        return {weights_digest(path)} if shards(path) else set()
    return {sha256_file(path)}


def _with_digests(digests: set[str], runs: Sequence[RunRoot], said: str, prefix: str) -> Named:
    """The first unit of the runs that has a digest: of one of its files, of all of them, or of its weights.

    Raises:
        NoRun: none has.
    """
    for run in runs if digests else ():
        if not run.run:
            continue
        for key, digest in _of_units(run).items():
            if any(found.startswith(each) for found in digest for each in digests):
                return Named(f"{said}, as {key} of {run.uri}", run.store, (key,))
    raise NoRun(f"{said}: no run right below {prefix} has made or read this content: name the folder of runs by --runs")


def _of_units(run: RunRoot) -> Mapping[str, set[str]]:
    manifests = Units.under(run.store).manifests
    return {
        key: {each.digest, each.weights_digest, *(file.sha256 for file in each.files.values())}
        for key, each in manifests.items()
    }


def _by_name(named: str, runs: Sequence[RunRoot], mlflow: Mlflow, prefix: str) -> Named:
    """The newest run of a name."""
    mine = [run for run in runs if run.run and run.run.name == named]
    if mine:
        newest = max(mine, key=lambda run: run.written)
        return Named(f"the newest run named {named}, {newest.uri}", newest.store)
    if found := [run for run in mlflow.named(named) if run.run_root]:
        return Named(f"the newest run named {named} in MLflow, {found[0].run_root}", open_store(found[0].run_root))
    known = {name for run in runs for name in (posixpath.basename(run.uri), run.run.name if run.run else "")} - {""}
    raise UserError(
        f"{named}: no file, no run right below {prefix} or in MLflow, no registered model (models:/NAME@ALIAS)"
        f"{nearest(named, known)}"
    )
