"""A trace as a tree on the terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.tree import Tree

from nashflow.components.core.digests import digest_json
from nashflow.components.prompts.counts import whole
from nashflow.components.registry.version import CROWNED, Version
from nashflow.components.storage import layout
from nashflow.components.storage.run import flatten

from ..costs_table import amount
from .traced import Trace, TracedRun, TracedUnit, Use

_DIGITS = 12
_SHOWN_TAGS = ("nashflow.code", "mlflow.source.git.commit", "nashflow.image.", "kfp.")


def show(trace: Trace, console: Console) -> None:
    """Print a trace: where it came from, what used it, and what is missing or damaged."""
    tree = Tree(trace.what)
    if trace.registered:
        _add_registered(tree, trace.registered)
    if trace.run:
        _add_run(tree, trace.run)
    _add_uses(tree, trace.uses)
    console.print(tree)
    for note in trace.notes:
        console.print(f"note: {note}", soft_wrap=True)
    for fault in trace.faults:
        console.print(f"fault: {fault}", style="red", soft_wrap=True)
    if trace.run:
        console.print(_verdict(trace), soft_wrap=True)


def _add_registered(tree: Tree, version: Version) -> None:
    crowned = f", champion since {version.tags[CROWNED]}" if CROWNED in version.tags else ""
    weights = version.weights[:_DIGITS] or "not noted"
    branch = tree.add(f"{version.uri}: registered {_when(version.created)}{crowned}, weights {weights}")
    for line in [version.rolled_back, *version.description.splitlines()]:
        if line.strip():
            branch.add(line)


def _add_run(tree: Tree, run: TracedRun) -> None:
    branch = tree.add(f"made by the run {run.name}, {run.run_root}")
    for line in _about(run):
        branch.add(line)
    for group, units in groupby(run.units, lambda unit: _group(unit.unit)):
        branch.add(_units_line(group, list(units)))
    for unit, place in run.origins.items():
        start = branch.add(f"{unit}: {place}")
        for parent in run.parents:
            if place.startswith(f"{parent.traced[0]} of {parent.run_root}"):
                _add_run(start, parent)


def _about(run: TracedRun) -> Iterator[str]:
    """Its method, settings, prompts, oracle, code and where it ran."""
    yield f"method: {_joined(run.method)}"
    apart = {key: value for key, value in run.settings.items() if not key.startswith("method.")}
    yield f"settings that are not defaults: {_joined(apart)}; identity {run.identity[:_DIGITS]}"
    yield f"prompts: {_prompts(run)}"
    kind = flatten({"oracle": run.recipe["oracle"]})
    yield f"oracle: {_joined(kind)}; {_inputs(run, lambda name: name not in ('prompts', 'policy'))}"
    if run.reused:
        yield f"comparisons reused: of {', '.join(run.reused)}"
    yield f"code: {_joined(dict(run.versions))}; on {', '.join(run.machines)}"
    shown = {name: value for name, value in run.tags.items() if name.startswith(_SHOWN_TAGS)}
    if shown:
        yield f"MLflow's tags: {_joined(shown)}"
    if run.mlflow:
        yield f"MLflow: run {run.mlflow['parent']} at {run.mlflow['uri']}"
    if run.promotion:
        yield f"promotion: {run.promotion['line']}"
    if run.outcome:
        reason = f", {run.outcome['reason']}" if run.outcome["reason"] else ""
        job = f", job {run.outcome['job']}" if run.outcome["job"] else ""
        yield f"ended: {run.outcome['outcome']}, {_when(int(run.outcome['ended'] * 1000))}{reason}{job}"


def _prompts(run: TracedRun) -> str:
    where = flatten({"prompts": run.recipe["prompts"]}).get("prompts.path") or "the sandbox world's"
    counts = f"; {whole(run.prompts)}" if run.prompts else ""
    return f"{where}{counts}; digest {run.inputs.get('prompts', '–')[:_DIGITS]}"


def _inputs(run: TracedRun, chosen: Callable[[str], bool]) -> str:
    return ", ".join(f"digest of {name} {digest[:_DIGITS]}" for name, digest in run.inputs.items() if chosen(name))


def _group(unit: str) -> str:
    """What is shown in one line: a policy by itself, the shards of a step together."""
    return unit if unit.startswith((layout.POLICIES, layout.MASTERS, layout.JUDGES)) else unit.rpartition("/")[0]


def _units_line(group: str, units: Sequence[TracedUnit]) -> str:
    rows, size = sum(unit.rows for unit in units), sum(unit.bytes for unit in units)
    digest = units[0].digest if len(units) == 1 else digest_json([unit.digest for unit in units])
    named = f"weights {units[0].weights[:_DIGITS]}" if units[0].weights else f"digest {digest[:_DIGITS]}"
    counted = f"{len(units)} units, " if len(units) > 1 else ""
    counted += f"{rows:,} rows, " if rows else ""
    states = ", ".join(dict.fromkeys(unit.state for unit in units))
    return f"{group}: {counted}{amount(size)}, {named}, {states}"


def _add_uses(tree: Tree, uses: Sequence[Use]) -> None:
    branch = tree.add("used by" if uses else "used by nothing that is known here")
    by_place: dict[tuple[str, str], list[Use]] = {}
    for use in uses:
        by_place.setdefault((use.kind, use.name if use.kind == "units" else use.place), []).append(use)
    for (kind, place), alike in by_place.items():
        named = f"{kind} {next((use.name for use in alike if use.name), '')}".rstrip()
        head = f"in the same run, {place}" if kind == "units" else f"{named}, {place}"
        branch.add(f"{head}: {'; '.join(use.how for use in alike)}")


def _verdict(trace: Trace) -> str:
    """How many units were checked, and what came of it."""
    runs, open_ = [], [trace.run]
    while open_:
        if run := open_.pop():
            runs.append(run)
            open_ += run.parents
    units = [unit for run in runs for unit in run.units]
    checked = [unit for unit in units if unit.state in ("verified", "damaged")]
    said = f"{len(units)} units of {len(runs)} {'runs' if len(runs) > 1 else 'run'}"
    if not units:
        return f"{said}: it has made nothing yet"
    if not checked:
        return f"{said}; no file was read: without --no-verify, every file is checked against its digest"
    gone = sum(unit.state == "not kept" for unit in units)
    left = f", {gone} are not kept" if gone else ""
    files, size = sum(unit.files for unit in checked), amount(sum(unit.bytes for unit in checked))
    found = _counted(trace.faults) if trace.faults else "every digest is right"
    return f"{said}, {files} files of {size} read{left}: {found}"


def _joined(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in flatten(values).items())


def _when(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _counted(faults: Sequence[str]) -> str:
    return f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
