"""The files of the report on benchmarks: a page for people and JSON for programs, of a policy or of a run."""

import json
from collections.abc import Mapping, Sequence

from ...benchmarks.base import BenchmarkSettings
from ...core.settings import Part
from ...iterations.units import Shape
from ...oracles.settings import AnyOracle
from ...storage import layout
from ...storage.run import Run
from ...storage.store import Store
from ...storage.units import require_manifest
from .page import PolicyReport, render_policy, render_run
from .read import read_report


class _Trained(Part):
    oracle: AnyOracle


def read_policy(store: Store, run: Run, iteration: int, benchmarks: Sequence[BenchmarkSettings]) -> PolicyReport:
    """What benchmarks say of the policy of a run's iteration, which they have measured.

    Raises:
        UserError: one has not.
    """
    oracle = _Trained.parse(run.recipe, layout.RUN).oracle
    digest = require_manifest(store, layout.policy(iteration, "main")).weights_digest
    reports = [read_report(store, iteration, each, oracle) for each in benchmarks]
    return PolicyReport(f"{run.name}, iteration {iteration}", digest, reports)


def policy_files(report: PolicyReport) -> dict[str, bytes]:
    """The page and the JSON on a policy, by the ends of their names."""
    return {".html": render_policy(report).encode(), ".json": _json(report.to_json())}


def run_files(store: Store, run: Run, iterations: Sequence[int]) -> Mapping[str, bytes]:
    """The page and the JSON on the policies of a run's iterations, by the ends of their names.

    Raises:
        UserError: one of them is not evaluated.
    """
    shape = Shape.of(run)
    policies = [read_policy(store, run, iteration, shape.due(iteration)) for iteration in iterations]
    said = {"run": run.name, "policies": [each.to_json(examples=each is policies[-1]) for each in policies]}
    return {".html": render_run(run.name, policies).encode(), ".json": _json(said)}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1).encode()
