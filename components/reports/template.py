"""The reports' pages as jinja templates; everything that they show is escaped by `rendered`."""

from typing import Any

import jinja2

from .table import show

_BEFORE_TITLE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>"""
_AFTER_TITLE = """\
</title>
<style>
  :root { color-scheme: light dark }
  body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 78rem; margin: 2rem auto; padding: 0 1rem }
  h1 { margin-bottom: 0; overflow-wrap: anywhere }
  h2 { margin-top: 2.5rem; border-bottom: 1px solid #d0d7de }
  .warning { color: #b35900 } .quiet { color: #59636e } .wide { overflow-x: auto } img { max-width: 100% }
  .tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 }
  .tile { flex: 1 1 11rem; border: 1px solid #d0d7de; border-radius: .4rem; padding: .6rem .9rem }
  .tile strong { display: block; font-size: 1.5rem }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin-bottom: 1rem }
  th, td { padding: .25rem .7rem; border-bottom: 1px solid #d0d7de; text-align: right; vertical-align: bottom }
  td { white-space: nowrap }
  .words { text-align: left; white-space: normal }
  .text th, .text td { text-align: left; vertical-align: top; white-space: normal }
  .answers { table-layout: fixed; width: 100% }
  .answers .said { white-space: pre-wrap; overflow-wrap: break-word }
  code { font-size: .85em; overflow-wrap: anywhere }
  pre { background: #f6f8fa; padding: .8rem; border-radius: .4rem; white-space: pre-wrap }
  @media (prefers-color-scheme: dark) {
    body { color: #e6edf3; background: #0d1117 }
    h2, th, td, .tile { border-color: #3d444d }
    .warning { color: #e3b341 } .quiet { color: #9198a1 }
    pre { background: #161b22 } img { border-radius: .4rem }
  }
  @media (max-width: 48rem) {
    .text, .text tbody, .text tr, .text td { display: block; width: auto }
    .text thead { display: none }
    .text td { border: 0; padding: .25rem 0 }
    .text td::before { content: attr(data-label); display: block; color: #59636e }
    .text tr { border-bottom: 1px solid #d0d7de; padding: .5rem 0 }
  }
</style>
</head>
<body>
"""


def page(title: str, body: str) -> str:
    """A template of a whole page, which holds everything that it shows."""
    return f"{_BEFORE_TITLE}{title} · NashFlow{_AFTER_TITLE}{body}</body>\n</html>\n"


def rendered(template: str, **values: Any) -> str:
    """A template with its values; the filter `show` writes a figure for people."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["show"] = show
    return environment.from_string(template).render(values)


TABLE = """\
{% macro table(columns) %}
<div class="wide" tabindex="0">
<table{% if columns | selectattr("words") | list | length > 1 %} class="text"{% endif %}>
<thead><tr>
{% for column in columns %}
<th{% if column.words %} class="words"{% endif %}>{{ column.title }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for _ in columns[0].cells %}
<tr>{% set row = loop.index0 %}
{% for column in columns %}
<td{% if column.words %} class="words"{% endif %} data-label="{{ column.title }}">{{ column.cells[row] }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% endmacro %}
"""
"""The macro `table` of a list of `Column`; in a narrow window, rows with several texts have a line for each cell."""

PROMPT = """\
{% macro asked(messages) %}
<td class="said" data-label="prompt">
{%- for message in messages %}
<div>{% if not loop.first or not loop.last %}<b>{{ message.role }}: </b>{% endif %}{{ message.content }}</div>
{%- endfor %}
</td>
{%- endmacro %}
"""
"""The macro `asked`: the cell of a prompt, whose messages say who speaks where there are several."""

RUN = page(
    "{{ summary.run }}",
    PROMPT
    + """\
<h1>{{ summary.run }}</h1>
<p class="quiet">{{ summary.method }}, {{ last.iteration }} of {{ iterations }} iterations, seed {{ summary.seed }}</p>
{% if prompts %}
<p class="quiet">Prompts: {{ prompts }}.</p>
{% endif %}
<div class="tiles">
{% for tile in tiles %}
  <div class="tile">{{ tile.title }}<strong>{{ tile.value }}</strong><span class="quiet">{{ tile.note }}</span></div>
{% endfor %}
</div>
<img alt="{{ described }}" src="data:image/png;base64,{{ figure }}">
<h2>Iterations</h2>
{% for columns in tables %}
<div class="wide">
<table>
<thead><tr>{% for column in columns %}<th>{{ column.title }}</th>{% endfor %}</tr></thead>
<tbody>
{% for _ in summary.iterations %}
<tr>{% set row = loop.index0 %}{% for column in columns %}<td>{{ column.cells[row] }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
{% endfor %}
<p class="quiet">t: iteration, 0 is the policy that training starts from; {{ caption }}; s: seconds.</p>
{% if summary.judges %}
<h2>Judges</h2>
<p class="quiet">Fitted to labelled pairs by this run, and measured on pairs that they were not fitted to.</p>
{% for judge in summary.judges %}
<p>{{ judge.name }}: {{ judge.verdict }}; fitted to {{ judge.pairs | show }} pairs, weights
<code>{{ judge.digest }}</code></p>
{% endfor %}
{% endif %}
{% if promotion %}
<h2>Promotion</h2>
<p>{{ promotion.model }}: {{ promotion.line }} (<a href="promotion{{ "-dry-run" if promotion.dry_run }}.html">looks,
guards and answers</a>)</p>
{% endif %}
{% if answers %}
<h2>Sample answers</h2>
<p class="quiet">Held-out prompts; P: the oracle's probability that the answer of iteration {{ last.iteration }} is
better than the reference's.</p>
<table class="text answers">
<colgroup><col><col><col><col style="width: 4rem"></colgroup>
<thead><tr><th>prompt</th><th>reference</th><th>iteration {{ last.iteration }}</th><th>P</th></tr></thead>
<tbody>
{% for answer in answers %}
<tr>
{{ asked(answer.messages) }}
<td class="said" data-label="reference">{{ answer.reference }}</td>
<td class="said" data-label="iteration {{ last.iteration }}">{{ answer.policy }}</td>
<td data-label="P">{{ answer.probability | show(2) }}</td>
</tr>
{% endfor %}
</tbody>
</table>
{% endif %}
<h2>Policies</h2>
<table class="text">
<thead><tr><th>t</th><th>digest of the weights</th><th>location</th></tr></thead>
<tbody>
{% for policy in summary.policies %}
<tr>
<td data-label="t">{{ policy.index }}</td>
<td data-label="digest of the weights"><code>{{ policy.digest }}</code></td>
<td data-label="location"><code>{{ locations[loop.index0] }}</code></td>
</tr>
{% endfor %}
</tbody>
</table>
<h2>Recipe</h2>
<pre><code>{{ recipe }}</code></pre>
<p class="quiet">What the recipe names, by digest, and the versions it ran with:</p>
<pre><code>{{ provenance }}</code></pre>
""",
)
