"""The page of a comparison: one HTML file that holds everything it shows."""

from ..template import TABLE, page, rendered
from .chart import CHARTS, STYLE
from .charts import curves_of, legend_of, tradeoff_chart
from .comparison import Comparison
from .samples import samples_of
from .tables import (
    CAPTION,
    SEEDS_CAPTION,
    cost_table,
    match_table,
    metric_table,
    seeds_table,
    settings_table,
    tradeoff_table,
)


def render_comparison(found: Comparison) -> str:
    """The page."""
    return rendered(
        _PAGE,
        found=found,
        settings=settings_table(found),
        metrics=metric_table(found),
        caption=CAPTION,
        meanings=[(each.title, each.meaning) for each in found.figures if each.meaning],
        seeds=seeds_table(found),
        seeds_caption=SEEDS_CAPTION,
        runs=legend_of(found.labels),
        curves=list(curves_of(found.entries, found.figures)),
        trade=[tradeoff_chart(each, found.labels) for each in found.tradeoffs],
        tradeoffs=[tradeoff_table(each) for each in found.tradeoffs],
        matches=match_table(found.matches),
        costs=cost_table(found),
        samples=samples_of(found.entries),
    )


_PAGE = page(
    "{{ found.labels | join(', ') }}",
    TABLE
    + CHARTS
    + STYLE
    + """\
<h1>{{ found.labels | length }} runs</h1>
<p class="quiet">Baseline: {{ found.labels[0] }}.</p>
{% for note in found.notes %}
<p class="warning">{{ note }}.</p>
{% endfor %}
<h2>Settings that differ</h2>
{% if settings[0].cells %}
{{ table(settings) }}
{% else %}
<p>None.</p>
{% endif %}
<h2>Figures</h2>
{{ table(metrics) }}
<p class="quiet">{{ caption }}.</p>
{% if seeds %}
<h2>Over seeds</h2>
{{ table(seeds) }}
<p class="quiet">{{ seeds_caption }}.</p>
{% endif %}
{% if found.matches %}
<h2>Head to head</h2>
{{ table(matches) }}
<p class="quiet">The runs' last policies, on the responses to held-out prompts that they were evaluated by, under the
oracle that they share; p: of an even match, corrected for the number of matches (Holm).</p>
{% endif %}
<h2>By iteration</h2>
{{ legend(runs) }}
<div class="charts">
{% for each in curves %}
{{ chart(each) }}
{% endfor %}
</div>
<p class="quiet">{% for title, meaning in meanings %}{{ title }}: {{ meaning }}{{ "; " if not loop.last }}{% endfor %}.
Iteration 0 is the policy that a run starts from.</p>
{% if trade %}
<h2>What is gained, and for what</h2>
{{ legend(runs) }}
<div class="charts">
{% for each in trade %}
{{ chart(each) }}
{% endfor %}
</div>
<p class="quiet">Ringed, and below: the policies that no other one of these beats in both, by their values alone.</p>
{% for columns in tradeoffs %}
{{ table(columns) }}
{% endfor %}
{% endif %}
<h2>Costs</h2>
{{ table(costs) }}
<p class="quiet">Of all iterations, all shards together; GPU hours: those for which accelerators were held.</p>
{% if samples %}
<h2>Answers to the same prompts</h2>
<p class="quiet">Held-out prompts; P: the oracle's probability that the answer is better than the reference's of
the same run.</p>
{% for sample in samples %}
<div class="answers"><h3 class="said">
{%- for message in sample.messages %}
<div>{% if not loop.first or not loop.last %}{{ message.role }}: {% endif %}{{ message.content }}</div>
{%- endfor %}
</h3></div>
<table class="text answers">
<colgroup><col style="width: 18rem"><col><col style="width: 4rem"></colgroup>
<thead><tr><th>run</th><th>answer</th><th>P</th></tr></thead>
<tbody>
<tr>
<td data-label="run">the reference</td>
<td class="said" data-label="answer">{{ sample.reference }}</td>
<td></td>
</tr>
{% for label, answer in sample.answers.items() %}
<tr>
<td data-label="run">{{ label }}</td>
<td class="said" data-label="answer">{{ answer.policy }}</td>
<td data-label="P">{{ answer.probability | show(2) }}</td>
</tr>
{% endfor %}
</tbody>
</table>
{% endfor %}
{% endif %}
<h2>Runs</h2>
<table class="text">
<thead><tr><th>run</th><th>method</th><th>run root</th></tr></thead>
<tbody>
{% for entry in found.entries %}
<tr>
<td data-label="run">{{ entry.label }}</td>
<td data-label="method">{{ entry.reported.summary.method }}</td>
<td data-label="run root"><code>{{ entry.reported.store.uri }}</code></td>
</tr>
{% endfor %}
</tbody>
</table>
""",
)
