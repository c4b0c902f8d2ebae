"""The report for people: one HTML page that holds everything it shows."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from ..core.redaction import redact
from ..iterations.units import Shape
from ..prompts.counts import whole
from ..storage import layout
from ..storage.dropped import dropped
from ..storage.run import Run
from ..storage.store import Store
from ..storage.units import Manifest, require_manifest
from .answers import sample_answers
from .promotion import decision_of
from .table import (
    Column,
    caption,
    dropped_by_reason,
    figure_columns,
    heading,
    second_columns,
    show,
    show_accuracy,
    show_figure,
    shown_figures,
)
from .template import RUN, rendered


class _Tile(NamedTuple):
    """One headline figure."""

    title: str
    value: str
    note: str


def render(store: Store, run: Run, summary: Mapping[str, Any], figure: bytes) -> str:
    """The page of a run, with the PNG `figure` in it."""
    last = summary["iterations"][-1]
    policies = [require_manifest(store, layout.policy(policy["index"], "main")) for policy in summary["policies"]]
    return rendered(
        RUN,
        summary=summary,
        last=last,
        iterations=run.recipe["run"]["iterations"],
        prompts=whole(run.prompts) if run.prompts else "",
        tiles=list(_tiles(summary)),
        figure=base64.b64encode(figure).decode(),
        described=_described(summary),
        tables=_tables(summary),
        caption=caption(summary),
        promotion=decision_of(store),
        answers=sample_answers(store, Shape.of(run), last["iteration"]),
        locations=[_location(store, policy) for policy in policies],
        recipe=as_yaml(redacted(run.recipe)),
        provenance=as_yaml({"digests": dict(run.inputs), "versions": dict(run.versions)}),
    )


def _described(summary: Mapping[str, Any]) -> str:
    """The picture in words, for those who cannot see it."""
    rows = summary["iterations"]
    shown = {figure.name: figure for figure in shown_figures(rows)}
    drawn = [shown[name] for name in ("duality_gap", "duality_gap_exact", "win_rate") if name in shown]
    said = [
        f"{heading(figure, rows)}: {', '.join(show_figure(figure, row) for row in rows)}"
        for figure in drawn or shown.values()
    ]
    return f"Figure, by iteration, {rows[0]['iteration']} to {rows[-1]['iteration']}: {'; '.join(said)}"


def _tables(summary: Mapping[str, Any]) -> list[list[Column]]:
    """The figures by iteration, then the seconds: side by side they would be too wide for a screen."""
    figures = figure_columns(summary)
    return [figures, [figures[0], *second_columns(summary)]]


def _tiles(summary: Mapping[str, Any]) -> Iterator[_Tile]:
    """The headline figures, those that apply."""
    rows = summary["iterations"]
    first, last = rows[0], rows[-1]
    for figure in shown_figures(rows):
        note = f"95 %: {show_accuracy(figure, last)}" if figure.interval else show_accuracy(figure, last)
        before = f"at the start {show(first[figure.name], figure.digits)}"
        yield _Tile(figure.title, show(last[figure.name], figure.digits), f"{figure.unit} ({note or before})".lstrip())
    pairs, comparisons, calls = (
        sum(row[name] or 0 for row in rows) for name in ("pairs", "comparisons", "oracle_calls")
    )
    reasons = dropped_by_reason(rows)
    dropped = f"; dropped: {reasons}" if reasons else ""
    yield _Tile("pairs", show(pairs), f"{show(comparisons)} comparisons, {show(calls)} oracle calls{dropped}")
    if (position := last.get("judging_position_share")) is not None:
        rest = {"longer preferred": "judging_length_preference", "no verdict": "judging_abstention_share"}
        said = "; ".join(f"{title}: {show(last[name], 3)}" for title, name in rest.items())
        yield _Tile("judge: position decides", show(position, 3), f"of the last iteration's verdicts; {said}")
    yield _Tile("work", f"{show(sum(sum(row['seconds'].values()) for row in rows))} s", "all steps and iterations")


def _location(store: Store, policy: Manifest) -> str:
    """The policy's folder, for people."""
    folders = [file.key.rpartition("/")[0] for file in policy.files.values()]
    place = policy.source or store.location(min(folders, key=len))
    return f"{place} (not kept)" if dropped(store, policy.unit) else place


def redacted(value: Any, key: str = "") -> Any:
    """The value without secrets: pages are passed on, and kept in MLflow."""
    if isinstance(value, Mapping):
        return {name: redacted(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [redacted(inner, key) for inner in value]
    return redact(value, key) if isinstance(value, str) else value


def as_yaml(value: Any) -> str:
    """A JSON value as YAML, in its own order."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
