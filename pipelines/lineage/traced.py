"""What a trace says: plain values, which are JSON as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nashflow.components.registry.version import Version

State = Literal["verified", "not verified", "not kept", "damaged"]
"""Of a unit's files: not kept are those that `run.keep` has deleted."""


@dataclass(frozen=True)
class Source:
    """An input of a unit."""

    digest: str
    unit: str
    """The unit of the same run that has the digest; empty where the input is none: settings, an oracle, a date."""


@dataclass(frozen=True)
class TracedUnit:
    """A unit of work: one shard of a step, a policy, a part of an evaluation."""

    unit: str
    digest: str
    """Of its files."""
    weights: str
    """Of a model's weights; empty where it is none."""
    place: str
    """Path or URI of its manifest."""
    files: int
    bytes: int
    rows: int
    inputs: Mapping[str, Source]
    finished: int
    """Milliseconds since the epoch."""
    seconds: float
    package: str
    """The version of NashFlow that made it."""
    machine: str
    state: State
    faults: Sequence[str]


@dataclass(frozen=True)
class TracedRun:
    """A run, as far as what is traced was made from it."""

    run_root: str
    name: str
    traced: Sequence[str]
    """The units that the trace came to this run for; empty: all of the run."""
    identity: str
    iterations: int
    method: Mapping[str, Any]
    settings: Mapping[str, Any]
    """By dotted name, those that are not at their defaults."""
    recipe: Mapping[str, Any]
    """All settings."""
    prompts: Mapping[str, Any] | None
    """What was read of the prompts' files and left out; None for the sandbox world."""
    inputs: Mapping[str, str]
    """Digests of the prompts, the starting policy, the oracles and the pairs of judges."""
    reused: Sequence[str]
    """The run roots of earlier runs whose comparisons are among its data."""
    versions: Mapping[str, str]
    machines: Sequence[str]
    outcome: Mapping[str, Any]
    """How it ended; empty while it has not."""
    promotion: Mapping[str, Any]
    """What its gate decided on the champion; empty where there was none."""
    mlflow: Mapping[str, Any]
    """The run's id, experiment and address there; empty where it is not tracked."""
    tags: Mapping[str, str]
    """What MLflow knows of its code, images and Kubeflow run; empty where MLflow does not answer."""
    units: Sequence[TracedUnit]
    faults: Sequence[str]
    """What is wrong with the run itself, besides the faults of its units."""
    origins: Mapping[str, str]
    """Where each policy that the run started from came from, in words, by its unit."""
    parents: Sequence["TracedRun"]
    """The runs that made these policies, where runs did."""


@dataclass(frozen=True)
class Use:
    """Something that used what is traced."""

    kind: Literal["units", "policy", "run", "model"]
    name: str
    place: str
    how: str


@dataclass(frozen=True)
class Trace:
    """Where something came from, and what used it."""

    named: str
    """As it was asked for."""
    what: str
    """What that is, in words."""
    registered: Version | None
    """The version of a registered model that was asked for."""
    run: TracedRun | None
    """The run that made it; None for prompts from outside of runs."""
    uses: Sequence[Use]
    notes: Sequence[str]
    """What could not be asked, such as an MLflow that does not answer."""
    faults: Sequence[str]
    """All that is missing or damaged; empty if every digest is what it was."""
