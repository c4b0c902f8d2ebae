"""`run.json`: the identity of a run, by which a rerun is recognised as the same run."""

import contextlib
import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..core.digests import digest_json
from ..core.errors import UserError
from . import layout
from .store import Store

_FREE_SECTIONS = ("cluster", "evaluation", "notifications", "promotion", "reporting")


@dataclass(frozen=True)
class Run:
    """The resolved recipe of a run, the digests of its input files, and its address in the tracker."""

    name: str
    recipe: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Digests of the prompts, the starting policy, the oracles and the pairs of judges; empty if a scheduled run found
    too few new prompts."""
    versions: Mapping[str, str]
    tracking: Mapping[str, Any] | None = None
    prompts: Mapping[str, Any] | None = None
    """What was read of the prompts' files, what was left out and why, and how often each is used."""
    judges: Sequence[str] = field(default_factory=list)
    """The judges that the run fits itself, by their names."""
    reused: Sequence[str] = field(default_factory=list)
    """The run roots of earlier runs whose comparisons are data of this one."""
    date: str = ""
    """The ISO date on which the run was prepared first, which chat templates write; empty in a run of before."""
    identity: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity", digest_json([identity_of(self.recipe), dict(self.inputs)]))

    def write(self, store: Store) -> None:
        """Write `run.json`."""
        store.write(layout.RUN, json.dumps(asdict(self), indent=1, sort_keys=True).encode())


def read_run(store: Store) -> Run | None:
    """The run under a run root, or None where there is none yet.

    Raises:
        UserError: `run.json` is damaged, or somebody else's.
    """
    try:
        data = json.loads(store.read(layout.RUN))
        data.pop("identity")
        data["recipe"] = _without(data["recipe"], "micro_batch_size")  # of runs of before; it never changed a result
        return Run(**data)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError, KeyError):
        raise UserError(
            f"{store.location(layout.RUN)} is no {layout.RUN} of this version: choose another run root, or delete it"
        ) from None


def runs_beside(place: Store) -> Iterator[tuple[Store, Run]]:
    """The runs whose run roots are in a folder, or right below a prefix; those that this version cannot read are left
    out."""
    for key in place.list():
        folder, _, name = key.rpartition("/")
        if name == layout.RUN and folder and "/" not in folder:
            store = place.at(folder)
            with contextlib.suppress(UserError):
                if run := read_run(store):
                    yield store, run


def require_run(store: Store) -> Run:
    """The run under a run root.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    run = read_run(store)
    if run is None:
        raise UserError(f"{store.uri}: no run here; a run root holds {layout.RUN}, which preparation writes")
    return run


def date_of(store: Store) -> str:
    """The date of the run under a run root; empty where none is recorded."""
    run = read_run(store)
    return run.date if run else ""


def identity_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a recipe that identifies a run: without the number of iterations, what is kept of them, and the
    settings that only measure, stop a step, or say where and in which portions it works."""
    identifying = _without(recipe, "micro_batch_tokens")
    kept = {name: copy.deepcopy(section) for name, section in identifying.items() if name not in _FREE_SECTIONS}
    kept["run"].pop("iterations")
    kept["run"].pop("keep", None)
    kept.get("judging", {}).pop("guards", None)
    kept.get("training", {}).pop("launcher", None)
    for name, section in kept.items():
        if isinstance(section, dict) and name != "prompts":  # whose layout says what the prompts are
            section.pop("layout", None)
    return {**kept, "oracle": without_endpoints(kept["oracle"])}


def settings_of(recipe: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """A recipe's settings as texts by dotted key: those that identify a run, and those with which it may go on."""
    settings, fixed = (
        {key: str(value) for key, value in flatten(part).items()} for part in (recipe, identity_of(recipe))
    )
    if isinstance(recipe["prompts"].get("path"), list):  # to which sets may be added
        fixed.pop("prompts.path")
    return fixed, {key: value for key, value in settings.items() if key not in fixed}


def _without(recipe: Mapping[str, Any], setting: str) -> dict[str, Any]:
    """A recipe without a setting of its sections."""
    return {
        name: {key: value for key, value in section.items() if key != setting} if isinstance(section, dict) else section
        for name, section in recipe.items()
    }


def without_endpoints(oracle: Any) -> Any:
    """An oracle's settings, a JSON value, without those of where a judge is asked, and how much: its `endpoint`, also
    that of an oracle inside of another."""
    if isinstance(oracle, Mapping):
        return {name: without_endpoints(value) for name, value in oracle.items() if name != "endpoint"}
    return [without_endpoints(each) for each in oracle] if isinstance(oracle, list) else oracle


def check_same(store: Store, known: Run, now: Run) -> None:
    """Raise if the run under the run root is of another recipe.

    Raises:
        UserError: says which settings and inputs differ.
    """
    if known.identity == now.identity or not known.inputs:
        return
    there, here = (
        flatten(identity_of(run.recipe)) | {f"digest of {name}": digest[:12] for name, digest in run.inputs.items()}
        for run in (known, now)
    )
    said = {key: [repr(side[key]) if key in side else "absent" for side in (there, here)] for key in there | here}
    lines = [f"{key} is {old} there and {new} here" for key, (old, new) in sorted(said.items()) if old != new]
    raise UserError(f"{store.uri}: belongs to another recipe: {'; '.join(lines)}; choose another run root")


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested sections as one level of dotted keys."""
    if not isinstance(value, Mapping) or (prefix and not value):
        return {prefix: value}
    flat = {}
    for key, inner in value.items():
        flat.update(flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat
