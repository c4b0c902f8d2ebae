"""A trace: from what is named, backwards to the reference policy, and forwards to what used it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nashflow.components.core.errors import UserError
from nashflow.components.storage.store import open_store

from ..gc.inventory import RunRoot
from ..mlflow_beside import use_store_beside
from .backwards import Backwards
from .named import Named, NoRun, resolve
from .prompt_sets import digests_in, read_by
from .registered import Mlflow
from .traced import Trace, TracedRun
from .units import Units
from .uses import Forwards, registered, runs_below


@dataclass(frozen=True)
class Tracer:
    """Traces what users name."""

    prefix: str
    """The folder or prefix of the run roots in which uses are looked for, besides those beside the run traced."""
    verify: bool
    """Whether every file is read and checked against its digest."""
    done: Callable[[int], object] = lambda _: None
    """Told of the bytes of each unit whose files were read."""

    def trace(self, named: str) -> Trace:
        """Trace one thing.

        Raises:
            UserError: it is nothing that is known.
        """
        use_store_beside(self.prefix)
        mlflow, runs = Mlflow(), runs_below(open_store(self.prefix))
        try:
            found = resolve(named, runs, mlflow, self.prefix)
        except NoRun as none:
            return _of_prompts(named, none, runs, mlflow, self.prefix)
        run = Backwards(mlflow.tags, self.verify, self.done).run(found.store, found.units)
        units = Units.under(found.store)
        beside = runs_below(found.store)
        others = [*runs, *(run for run in beside if run.uri not in {each.uri for each in runs})]
        uses = Forwards(units, found.units, others, mlflow).uses()
        wrong = [*_of_registered(found, units), *_faults(run)]
        return Trace(named, found.what, found.registered, run, uses, mlflow.notes, list(dict.fromkeys(wrong)))


def _of_prompts(named: str, none: NoRun, runs: Sequence[RunRoot], mlflow: Mlflow, prefix: str) -> Trace:
    """Prompts from outside of runs: only what used them.

    Raises:
        UserError: it is no set of prompts either, or no run has any of them.
    """
    try:
        digests = digests_in(named)
    except UserError:
        raise none from None
    uses = list(read_by(digests, runs))
    if not uses:
        raise UserError(
            f"{named}: {len(digests):,} prompts, of which no run right below {prefix} has any: name the folder of runs "
            "by --runs"
        )
    for use in list(uses):
        uses += [registered(version, aliases) for version, aliases in mlflow.of_place(use.place)]
    return Trace(named, f"{named}, {len(digests):,} prompts", None, None, uses, mlflow.notes, [])


def _of_registered(found: Named, units: Units) -> Iterator[str]:
    """A line where a version was registered with another content than its policy has now."""
    if not (version := found.registered):
        return
    manifest = units.manifests[found.units[0]]
    said = {"weights": (version.weights, manifest.weights_digest), "files": (version.digest, manifest.digest)}
    for what, (then, now) in said.items():
        if then and then != now:
            yield f"{version.uri}: was registered with {what} of digest {then}, and {now} are at {version.place} now"


def _faults(run: TracedRun) -> Iterator[str]:
    yield from run.faults
    for unit in run.units:
        yield from unit.faults
    for parent in run.parents:
        yield from _faults(parent)
