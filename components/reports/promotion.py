"""The page on a decision of the promotion step."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..storage import layout
from ..storage.records import Message
from ..storage.store import Store
from ..storage.units import read_manifest
from .table import NOT_APPLICABLE, Column, show
from .template import PROMPT, TABLE, page, rendered


class Sample(NamedTuple):
    """A held-out prompt and the answers of both policies."""

    messages: Sequence[Message]
    champion: str
    candidate: str
    probability: float | None
    """The oracle's P(candidate ≻ champion); None where it abstained."""


_PAGE = page(
    "{{ said.model }}: {{ said.decision }}",
    TABLE
    + PROMPT
    + """\
<h1>{{ said.model }}: {{ "would be " if said.dry_run }}{{ said.decision }}</h1>
<p class="quiet">Iteration {{ said.candidate.iteration }} of {{ said.candidate.run }}, <code>{{ said.candidate.run_root
}}</code>{% if said.version %}, version {{ said.version }}{% endif %}{% if said.dry_run %}; a dry run, which leaves the
registry as it is{% endif %}</p>
<p>{{ said.reason }}.</p>
{% if looks %}
<h2>Looks</h2>
{{ table(looks) }}
<p class="quiet">Each prompt counts once, by the mean of the oracle's P(candidate ≻ {{ opponent }}). The intervals hold
the true win rate at all looks at once with a probability of {{ said.confidence }}, so that looking often makes no
promotion by chance likelier. The candidate is promoted when the lower end exceeds {{ said.threshold }}.</p>
<h2>Guards</h2>
{{ table(guards) }}
<p class="quiet">Measured on the answers that were compared. length: mean, in characters; refusals: share of answers
that begin as refusals do; cut: share that ended at their longest; canary: how often the oracle prefers one constant
answer, which says nothing.</p>
{% endif %}
{% if samples %}
<h2>Answers</h2>
<table class="text answers">
<colgroup><col><col><col><col style="width: 4rem"></colgroup>
<thead><tr><th>prompt</th><th>{{ opponent }}</th><th>candidate</th><th>P</th></tr></thead>
<tbody>
{% for sample in samples %}
<tr>
{{ asked(sample.messages) }}
<td class="said" data-label="{{ opponent }}">{{ sample.champion }}</td>
<td class="said" data-label="candidate">{{ sample.candidate }}</td>
<td data-label="P">{{ sample.probability | show(2) }}</td>
</tr>
{% endfor %}
</tbody>
</table>
{% endif %}
<h2>Policies</h2>
<table class="text">
<thead><tr><th></th><th>run root</th><th>policy</th><th>digest of the files</th></tr></thead>
<tbody>
{% for name, each in policies %}
<tr><td>{{ name }}</td><td><code>{{ each.run_root }}</code></td><td>{{ each.policy }}</td>
<td><code>{{ each.digest }}</code></td></tr>
{% endfor %}
</tbody>
</table>
""",
)


def decision_of(store: Store) -> dict[str, Any] | None:
    """The decision about a run's policy, a JSON value: of a gate, or else of a dry run; None if there is none."""
    for unit in (layout.PROMOTION, layout.PROMOTION_TRIED):
        if manifest := read_manifest(store, unit):
            return dict(json.loads(manifest.read(store, f"{unit.rpartition('/')[2]}.json")))
    return None


def render_promotion(decision: Mapping[str, Any], samples: Sequence[Sample]) -> str:
    """The page on a decision, a JSON value, with some answers that were compared."""
    opponent = "champion" if decision["opponent"].get("version") else "reference"
    policies = [("candidate", decision["candidate"]), (opponent, decision["opponent"])]
    return rendered(
        _PAGE,
        said=decision,
        looks=_looks(decision["looks"]),
        guards=_guards(decision["guards"], opponent),
        samples=samples,
        opponent=opponent,
        policies=[(name, each) for name, each in policies if each],
    )


def _looks(looks: Sequence[Mapping[str, float]]) -> list[Column]:
    if not looks:
        return []
    return [
        Column("prompts", [show(each["prompts"]) for each in looks]),
        Column("win rate", [show(each["win_rate"], 3) for each in looks]),
        Column("interval", [f"[{show(each['low'], 3)}, {show(each['high'], 3)}]" for each in looks]),
    ]


def _guards(guards: Sequence[Mapping[str, Any]], opponent: str) -> list[Column]:
    return [
        Column("guard", [each["name"] for each in guards], words=True),
        Column("candidate", [show(each["candidate"], 4) for each in guards]),
        Column(opponent, [show(each["champion"], 4) for each in guards]),
        Column("worse by", [_amount(each["worse_by"], each) for each in guards]),
        Column("margin", [_amount(each["margin"], each) for each in guards]),
        Column("holds", ["yes" if each["holds"] else "no" for each in guards]),
    ]


def _amount(value: float | None, guard: Mapping[str, Any]) -> str:
    if value is None:
        return NOT_APPLICABLE
    return f"{show(100 * value, 1)} %" if guard["relative"] else show(value, 4)
