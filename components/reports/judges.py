"""The report on judges: their figures side by side, for the terminal, and one HTML page that holds everything."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..prompts.counts import Counts
from ..quality.agreement import Share
from ..quality.calibration import Bin
from ..quality.compare import Difference
from ..quality.measure import FIGURES, Quality
from .page import as_yaml, redacted
from .reliability import draw_reliability
from .table import NOT_APPLICABLE, Column, heading, show, show_figure
from .template import TABLE, page, rendered


@dataclass(frozen=True)
class JudgeReport:
    """What was measured of one judge or several on the same pairs."""

    path: str
    """Where the pairs lie."""
    counts: Counts
    judges: Mapping[str, tuple[Mapping[str, Any], Quality]]
    """By name: what it is, and what was measured of it."""
    differences: Sequence[Difference]


def figure_table(report: JudgeReport) -> list[Column]:
    """The figures that apply, a row each, a column for each judge."""
    rows = [quality.figures for _, quality in report.judges.values()]
    shown = [figure for figure in FIGURES if any(row[figure.name] is not None for row in rows)]
    used = dict.fromkeys(name for _, quality in report.judges.values() for name in quality.usage)
    columns = [Column("figure", [heading(figure, rows) for figure in shown] + [*used], words=True)]
    for name, (_, quality) in report.judges.items():
        cells = [show_figure(figure, quality.figures) for figure in shown]
        columns.append(Column(name, cells + [_amount(quality.usage.get(each)) for each in used]))
    return columns


def meanings(report: JudgeReport) -> str:
    """What the figures are."""
    rows = [quality.figures for _, quality in report.judges.values()]
    shown = [figure for figure in FIGURES if any(row[figure.name] is not None for row in rows)]
    return "; ".join(f"{figure.title}: {figure.meaning}" for figure in shown if figure.meaning)


def difference_table(report: JudgeReport) -> list[Column]:
    """How each two judges differ; no columns for one judge."""
    names, found = list(report.judges), report.differences
    if not found:
        return []
    return [
        Column("judge", [names[each.first] for each in found], words=True),
        Column("less", [names[each.second] for each in found], words=True),
        Column("accuracy [95 %]", [f"{_signed(each.accuracy.value)} [{_ends(each)}]" for each in found]),
        Column("kappa", [show(each.kappa, 3) for each in found]),
        Column("apart", [show(each.apart, 3) for each in found]),
    ]


def category_tables(report: JudgeReport) -> dict[str, list[Column]]:
    """The accuracies by category, by a title; none where there are not several categories."""
    of_judges = [quality.categories for _, quality in report.judges.values()]
    if not of_judges[0]:
        return {}
    first = [
        Column("category", [each.name or "none" for each in of_judges[0]], words=True),
        Column("pairs", [show(each.pairs) for each in of_judges[0]]),
    ]
    shares: dict[str, list[list[Share | None]]] = {
        "accuracy": [[each.accuracy for each in categories] for categories in of_judges],
        "best of all": [[each.accuracy_best for each in categories] for categories in of_judges],
    }
    return {
        f"{title} by category [95 %]": [
            *first,
            *(Column(name, [_share(each) for each in cells]) for name, cells in zip(report.judges, found, strict=True)),
        ]
        for title, found in shares.items()
        if any(found[0])
    }


def rating_tables(report: JudgeReport) -> dict[str, list[Column]]:
    """The models' ratings by the labels and by each judge, where the data name models."""
    return {
        judge: [
            Column("model", [each.model for each in quality.ratings], words=True),
            Column("labels", [_signed(each.labels) for each in quality.ratings]),
            Column("judge", [_signed(each.judge) for each in quality.ratings]),
        ]
        for judge, (_, quality) in report.judges.items()
        if quality.ratings
    }


def render_judges(report: JudgeReport) -> str:
    """The page."""
    curves = {name: quality.curve for name, (_, quality) in report.judges.items()}
    figure = draw_reliability(curves)
    return rendered(
        _PAGE,
        report=report,
        title=", ".join(report.judges),
        figure=base64.b64encode(figure).decode(),
        described="; ".join(f"{name}: {_said(curve)}" for name, curve in curves.items()),
        figures=figure_table(report),
        meanings=meanings(report),
        differences=difference_table(report),
        categories=category_tables(report),
        ratings=rating_tables(report),
        said={name: as_yaml(redacted(said)) for name, (said, _) in report.judges.items()},
    )


def _said(curve: Sequence[Bin]) -> str:
    """A curve in words."""
    filled = [each for each in curve if each.pairs]
    return ", ".join(f"{show(each.confidence, 2)} sure, {show(each.accuracy, 2)} right" for each in filled)


def _share(share: Share | None) -> str:
    return NOT_APPLICABLE if share is None else f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"


def _amount(value: float | None) -> str:
    return show(value, 0 if value is None or float(value).is_integer() else 4)


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"


def _ends(each: Difference) -> str:
    return f"{_signed(each.accuracy.low)}, {_signed(each.accuracy.high)}"


_PAGE = page(
    "{{ title }}",
    TABLE
    + """\
<h1>{{ title }}</h1>
<p class="quiet">{{ report.path }}: layout {{ report.counts.layout }}; {{ report.counts }}.</p>
<h2>Figures</h2>
{{ table(figures) }}
<p class="quiet">{{ meanings }}.</p>
{% if differences %}
<h2>Differences</h2>
{{ table(differences) }}
<p class="quiet">accuracy: the judge's less the other's, with the paired interval; kappa: Cohen's, between the two;
apart: share of pairs that they do not decide alike.</p>
{% endif %}
<h2>Calibration</h2>
<img alt="{{ described }}" src="data:image/png;base64,{{ figure }}">
{% for title, columns in categories.items() %}
<h2>{{ title | capitalize }}</h2>
{{ table(columns) }}
{% endfor %}
{% for judge, columns in ratings.items() %}
<h2>Models, as rated by {{ judge }}</h2>
{{ table(columns) }}
<p class="quiet">Bradley–Terry ratings, in nats.</p>
{% endfor %}
<h2>Judges</h2>
{% for judge, text in said.items() %}
<p>{{ judge }}</p>
<pre><code>{{ text }}</code></pre>
{% endfor %}
""",
)
