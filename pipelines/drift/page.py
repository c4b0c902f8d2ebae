"""The page on drift: one HTML file that holds everything that it shows."""

import base64

from nashflow.components.reports.template import page, rendered

from .figure import draw
from .report import Drift
from .tables import EXPLAINED, HEADINGS, JUDGE_EXPLAINED, JUDGE_HEADINGS, cells, findings, judge_cells

_PAGE = page(
    "{{ drift.named }}: drift",
    """\
<h1>{{ drift.named }}: drift</h1>
<p class="quiet">{{ drift.rows | length }} runs, from {{ drift.rows[0].fired.day }} to {{ drift.rows[-1].fired.day }}.
Win rates are against {{ against }}, of <code>{{ drift.champion.store.uri }}</code>.</p>
<ul>{% for line in findings %}<li>{{ line }}</li>{% endfor %}</ul>
<img alt="win rate and prompts over time" src="data:image/png;base64,{{ figure }}">
<h2>Runs</h2>
<div class="wide"><table>
<tr>{% for heading in headings %}<th>{{ heading }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
<p class="quiet">{{ explained }}.</p>
<h2>Judge</h2>
{% if judged %}<div class="wide"><table>
<tr>{% for heading in judge_headings %}<th>{{ heading }}</th>{% endfor %}</tr>
{% for row in judged %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
<p class="quiet">{{ judge_explained }}.</p>
{% else %}<p>The first run has no comparisons with its reference to ask the judge about again.</p>
{% endif %}
""",
)


def render(drift: Drift) -> str:
    """The page."""
    return rendered(
        _PAGE,
        drift=drift,
        against="the first champion of these runs"
        if drift.promoted
        else "the first run's policy, since none was promoted",
        findings=findings(drift),
        figure=base64.b64encode(draw(drift)).decode(),
        headings=HEADINGS,
        rows=list(cells(drift)),
        explained=EXPLAINED,
        judge_headings=JUDGE_HEADINGS,
        judged=judge_cells(drift),
        judge_explained=JUDGE_EXPLAINED,
    )
