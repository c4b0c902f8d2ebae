"""The runs of a comparison: what their reports say, under labels that tell the runs apart."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...benchmarks.base import Figure
from ...core.errors import UserError
from ...core.settings import Part
from ...iterations.units import Shape
from ...oracles.oracle_settings import OracleSettings
from ...oracles.settings import AnyOracle
from ...storage import layout
from ...storage.run import flatten, identity_of, require_run
from ...storage.store import open_store
from ...storage.units import read_manifest
from ..page import redacted
from ..reported import Reported
from ..selection import figures_of

TRAINED = {
    "h": Figure(
        "training/h", "margin", unit="nats", digits=2, meaning="h of the loss, at the end of training, in nats"
    ),
    "accuracy": Figure("training/accuracy", "pairs right", meaning="share of the pairs with h > 0, there"),
}
"""The figures of an iteration's last training, by the names in its manifest."""
_SEED = ("run.seed", "run.name")
"""What runs of one recipe differ in."""
_SETTINGS_IN_LABEL, _LONGEST_VALUE = 3, 60


class _Judged(Part):
    oracle: AnyOracle


@dataclass(frozen=True)
class Entry:
    """A run of a comparison."""

    label: str
    reported: Reported

    @cached_property
    def shape(self) -> Shape:
        """Its units of work."""
        return Shape.of(self.reported.run)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The summary's iterations, each with the figures of its training."""
        return [{**row, **_training(self.reported, row["iteration"])} for row in self.reported.summary["iterations"]]

    @property
    def last(self) -> dict[str, Any]:
        """The last iteration's."""
        return self.rows[-1]

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """What its benchmarks and its training measure, by name."""
        trained = {figure.name: figure for figure in TRAINED.values()}
        return {**figures_of(self.reported, self.oracle), **trained}

    @cached_property
    def oracle(self) -> OracleSettings:
        """The recipe's."""
        return _Judged.parse(self.reported.run.recipe, layout.RUN).oracle

    @property
    def seed(self) -> int:
        """The run's."""
        return int(self.reported.summary["seed"])

    @cached_property
    def settings(self) -> dict[str, str]:
        """The recipe by dotted key, the digests of what it names and the versions it ran with, for people."""
        run = self.reported.run
        named = {f"digest of {name}": digest[:12] for name, digest in run.inputs.items()}
        versions = {f"version of {name}": version for name, version in run.versions.items()}
        recipe = {key: _said(value) for key, value in flatten(redacted(run.recipe)).items()}
        return {**recipe, **named, **versions}


def read_published(run_root: str) -> Reported:
    """The run under a run root, with the summary of its report, which is checked against its digest.

    Raises:
        UserError: there is no run, or it has no report yet.
    """
    store = open_store(run_root)
    run = require_run(store)
    if not (manifest := read_manifest(store, layout.REPORT)):
        raise UserError(
            f"{store.uri}: has no report yet: let the run end, or report on what is finished: nashflow report "
            f"{store.uri}"
        )
    return Reported(store, run, json.loads(manifest.read(store, layout.SUMMARY.rpartition("/")[2])))


def labelled(reports: Sequence[Reported]) -> list[Entry]:
    """The runs under different labels: their names, and where these are the same, what differs among those."""
    names = [report.run.name for report in reports]
    labels = list(names)
    for name, times in Counter(names).items():
        alike = [place for place, other in enumerate(names) if other == name]
        for place, said in zip(alike, _apart([reports[place] for place in alike]), strict=True) if times > 1 else ():
            labels[place] = f"{name} {said}".rstrip()
    counts = Counter(labels)
    return [
        Entry(label if counts[label] == 1 else f"{label} ({report.store.uri})", report)
        for label, report in zip(labels, reports, strict=True)
    ]


def differing(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """The settings that are not the same in all runs: their values in each, in words; `–` where a run has none."""
    keys = dict.fromkeys(key for entry in entries for key in entry.settings)
    found = {key: [entry.settings.get(key, "–") for entry in entries] for key in keys if key != "run.name"}
    return {key: values for key, values in found.items() if len(set(values)) > 1}


def seeds_of(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The runs in groups that differ in the seed alone, in the order of their first ones."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_recipe_of(entry.reported), []).append(entry)
    return list(groups.values())


def _recipe_of(reported: Reported) -> str:
    """What is the same in runs that differ in the seed alone."""
    settings = flatten(identity_of(reported.run.recipe))
    kept = {key: value for key, value in settings.items() if key not in _SEED}
    last = reported.summary["iterations"][-1]["iteration"]
    return json.dumps([kept, dict(reported.run.inputs), last], sort_keys=True)


def _apart(reports: Sequence[Reported]) -> list[str]:
    """In what runs of one name differ, as far as a few words tell."""
    flat = [flatten(redacted(identity_of(report.run.recipe))) for report in reports]
    keys = dict.fromkeys(key for each in flat for key in each)
    changed = [key for key in keys if len({json.dumps(each.get(key)) for each in flat}) > 1]
    shown = changed if len(changed) <= _SETTINGS_IN_LABEL else []
    return [" ".join(f"{key}={_said(each.get(key))}" for key in shown) for each in flat]


def _training(reported: Reported, iteration: int) -> Mapping[str, float]:
    manifest = read_manifest(reported.store, layout.policy(iteration, "main"))
    metrics = manifest.metrics if manifest else {}
    return {figure.name: metrics[name] for name, figure in TRAINED.items() if name in metrics}


def _said(value: Any) -> str:
    """A setting's value for people; a long one is cut."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
