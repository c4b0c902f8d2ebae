"""A run with its summary, as reports are made from it, and in what several differ, so that they do not compare."""

import json
from collections import Counter
from fnmatch import fnmatch
from typing import Any, NamedTuple

from ..models.folders import INHERITED
from ..storage import layout
from ..storage.records import PROMPTS
from ..storage.run import Run, flatten, require_run
from ..storage.store import Store, open_store
from ..storage.units import require_manifest
from .summary import summarise

_MEASURED_WITH = ("evaluation.tau", "evaluation.temperature", "rollout.*", "oracle.*", "policy.template*")
"""The settings that decide what figures say of a policy."""
_HOW = ("rollout.engine*", "*.dtype", "*.batch_size", "oracle.model", "oracle.endpoint*")
"""Those among them that decide only how they are computed; a model is told by its digest."""
_HELD_OUT_BY = ("run.seed", "prompts.held_out", "prompts.path")
"""The settings that decide which prompts are held out."""
_NOTHING: tuple[Any, ...] = (None, "", [], {})
"""What a setting is by default that an older version does not have."""


class Reported(NamedTuple):
    """A run, where it lies, and the summary of its finished iterations."""

    store: Store
    run: Run
    summary: dict[str, Any]


def measured_with(key: str) -> bool:
    """Whether runs that differ in this setting, such as `evaluation.tau`, are measured differently."""
    return key in _HELD_OUT_BY or _matches(key, ("evaluation.*",)) or _decides_figures(key)


def read_reported(run_root: str) -> Reported:
    """The run under a run root.

    Raises:
        UserError: there is no run, nothing in it is finished, or its figures are not of one kind.
    """
    store = open_store(run_root)
    run = require_run(store)
    return Reported(store, run, summarise(store, run, run.recipe["run"]["iterations"]))


def differences(one: Reported, other: Reported) -> list[str]:
    """What keeps the figures of two runs from being comparable, one line each; files are compared by content."""
    return [*_measured_unlike(one, other), *_other_held_out(one, other)]


def incomparable(one: Reported, other: Reported) -> list[str]:
    """As `differences`, but the held-out prompts may differ if both runs took them from the same prompts.

    So it is with other seeds: the figures are of the same task, and do not pair.
    """
    same = one.run.inputs.get("prompts") == other.run.inputs.get("prompts")
    return [*_measured_unlike(one, other), *([] if same else _other_held_out(one, other))]


def _measured_unlike(one: Reported, other: Reported) -> list[str]:
    """What differs of the reference, the oracle, and the settings that decide figures."""
    changed = _changed(one, other)
    found = []
    digests, others = (_decisive(each.run) for each in (one, other))
    for named in digests:
        if digests[named] != others[named]:
            section = [changed.pop(key) for key in list(changed) if key.startswith(f"{named}.")]
            found.append(f"other {named} ({', '.join(section) or 'under the same settings'})")
    found += [text for key, text in changed.items() if _decides_figures(key)]
    files, other_files = _reading(one), _reading(other)
    if unequal := sorted(name for name in files | other_files if files.get(name) != other_files.get(name)):
        found.append(f"the reference's {', '.join(unequal)}")
    if fitted := sorted(name for name, _ in _fitted(one) ^ _fitted(other)):
        found.append(f"the judge {', '.join(dict.fromkeys(fitted))}, which each run has fitted itself")
    return found


def _other_held_out(one: Reported, other: Reported) -> list[str]:
    prompts, other_prompts = _held_out(one), _held_out(other)
    if prompts == other_prompts:
        return []
    changed = _changed(one, other)
    why = [changed[key] for key in _HELD_OUT_BY if key in changed]
    same = f"{prompts.total()} and {other_prompts.total()}, {(prompts & other_prompts).total()} of them the same"
    return [f"other held-out prompts: {'; '.join([same, *why])}"]


def _decisive(run: Run) -> dict[str, str | None]:
    """Digests of what figures are relative to: the oracle, and the reference, which may be apart from the policy."""
    inputs = run.inputs
    return {"policy": inputs.get("reference", inputs.get("policy")), "oracle": inputs.get("oracle")}


def _decides_figures(key: str) -> bool:
    return _matches(key, _MEASURED_WITH) and not _matches(key, _HOW)


def _changed(one: Reported, other: Reported) -> dict[str, str]:
    """The settings that differ, each with a line that says how."""
    here, there = (flatten(reported.run.recipe) for reported in (one, other))
    both = {key: (here.get(key), there.get(key)) for key in sorted(here | there)}
    return {
        key: f"{key} is {ours!r} and {theirs!r}"
        for key, (ours, theirs) in both.items()
        if ours != theirs and not (ours in _NOTHING and theirs in _NOTHING)
    }


def _fitted(reported: Reported) -> set[tuple[str, str]]:
    """The judges that a run has fitted, by name and digest."""
    return {(judge["name"], judge["digest"]) for judge in reported.summary.get("judges", ())}


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(key, pattern) for pattern in patterns)


def _reading(reported: Reported) -> dict[str, str]:
    """Digests of the files of the reference policy by which prompts become tokens and responses end."""
    files = require_manifest(reported.store, layout.policy(0, "main")).files
    return {name: file.sha256 for name, file in files.items() if _matches(name, ("config.json", *INHERITED))}


def _held_out(reported: Reported) -> Counter[str]:
    rows = require_manifest(reported.store, layout.held_out()).rows(reported.store, PROMPTS)
    return Counter(json.dumps(row["messages"], sort_keys=True) for row in rows)
