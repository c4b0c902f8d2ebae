"""The page on what benchmarks measured, as a jinja template."""

from ..template import TABLE, page

_STYLE = """\
<style>
  details { border: 1px solid #d0d7de; border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem }
  .quiet { overflow-wrap: anywhere } td.words { min-width: 8rem }
  summary { cursor: pointer; overflow-wrap: anywhere }
  summary:focus-visible, .wide:focus-visible { outline: 2px solid #0969da }
  .said { background: #f6f8fa; border-radius: .4rem; margin: .3rem 0 .8rem; padding: .6rem; overflow-wrap: anywhere }
  .said { white-space: pre-wrap }
  .loud { border-left: .3rem solid #b35900; padding: .4rem .8rem; background: #fff8f0 }
</style>
"""

_SECTION = """\
{% macro said(title, turns) %}
{% for turn in turns %}
<div class="quiet">{{ title }}{% if turns | length > 1 %}, {{ loop.index }}{% endif %}</div>
<div class="said" dir="auto">{{ turn }}</div>
{% endfor %}
{% endmacro %}
{% macro section(report) %}
<section>
<h2>{{ report.name }}</h2>
<p class="quiet">{{ report.origin }}</p>
{% for warning in report.warnings %}
<p class="loud"><strong>{{ warning }}</strong></p>
{% endfor %}
{% for title, columns, note in report.tables %}
<h3>{{ title }}</h3>
{{ table(columns) }}
{% if note %}
<p class="quiet">{{ note }}</p>
{% endif %}
{% endfor %}
{% if report.examples %}
<h3>Examples to read</h3>
{% for outcome, case in report.examples %}
<details>
<summary><strong>{{ outcome }}</strong>{% if case.value is not none %} ({{ case.value | show(2) }}){% endif %}: {{
case.turns[0] | truncate(120) }}</summary>
{{ said("Question " ~ case.question, case.turns) }}
{{ said("The policy's answer", case.answers) }}
{{ said("The answer that it is compared with", case.opponent) }}
{{ said("The judge", case.said) }}
</details>
{% endfor %}
{% endif %}
</section>
{% endmacro %}
"""

PAGE = page(
    "{{ title }}",
    _STYLE
    + TABLE
    + _SECTION
    + """\
<main>
<h1>{{ title }}</h1>
<p class="quiet">{{ subtitle }}</p>
{% for title, columns, note in overview %}
<h2>{{ title }}</h2>
{{ table(columns) }}
{% if note %}
<p class="quiet">{{ note }}</p>
{% endif %}
{% endfor %}
{% for report in sections %}
{{ section(report) }}
{% endfor %}
</main>
""",
)
