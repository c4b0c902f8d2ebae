"""What an iteration costs a prompt, from the plan and from the judge itself, against the literature's numbers."""

from typing import Any

import pytest

from nashflow.components.methods.base import Method
from nashflow.components.oracles.base import Oracle, Query, Verdict
from nashflow.components.oracles.referee import PromptSamples, Rules, Sample
from nashflow.components.oracles.rounds import judge
from nashflow.pipelines.plan import work_of
from tests.fixtures.runs import recipe

BRACKET = {"samples": 8, "comparisons": "bracket"}
COSTS: dict[str, tuple[dict[str, Any], int, int, int, int]] = {
    # Settings; responses and comparisons a prompt, trainings, policies whose log-probabilities are cached.
    "inpo": ({"name": "inpo", "eta": 0.5, "tau": 0.1, **BRACKET}, 8, 11, 1, 2),
    "inpo without kl": ({"name": "inpo", "eta": 0.5, "tau": 0.0, **BRACKET}, 8, 11, 1, 1),
    "onpo": ({"name": "onpo", "eta": 0.5, **BRACKET}, 8, 11, 2, 2),
    "egpo": ({"name": "egpo", "eta": 0.5, "beta": 0.1, **BRACKET}, 16, 22, 2, 4),
    "nash_mp": ({"name": "nash_mp", "beta": 0.1, **BRACKET}, 16, 22, 2, 4),
    "mnpo": ({"name": "mnpo", "eta": 0.5, "tau": 0.1, **BRACKET}, 8, 11, 1, 3),
    "nash_md": ({"name": "nash_md", "tau": 0.1, **BRACKET}, 8, 11, 1, 2),
    "online_ipo": ({"name": "online_ipo", "tau": 0.1, "updates": 2, **BRACKET}, 8, 11, 1, 1),
    "iterative_dpo": ({"name": "iterative_dpo", **BRACKET}, 8, 11, 1, 1),
    "sppo": ({"name": "sppo", "eta": 1.0, "samples": 8}, 8, 28, 1, 1),
    "sppo of five": ({"name": "sppo", "eta": 1.0, "samples": 5, "comparisons": "max_min"}, 5, 10, 1, 1),
    "dno": ({"name": "dno", "samples": 5}, 5, 15, 1, 1),
    "ipo": ({"name": "ipo", "tau": 0.1}, 0, 0, 1, 1),
    "iid": ({"name": "inpo", "eta": 0.5, "tau": 0.1, "samples": 8}, 8, 4, 1, 2),
    "an opponent": ({"name": "inpo", "eta": 0.5, "tau": 0.1, "comparisons": "versus_opponent"}, 3, 2, 1, 2),
}


class Alphabet(Oracle):
    """The earlier text is better; counts the pairs that it was asked about."""

    def __init__(self) -> None:
        self.asked = 0

    def judge(self, queries: Any) -> list[Verdict]:
        self.asked += len(queries)
        return [self._verdict(query) for query in queries]

    def _verdict(self, query: Query) -> Verdict:
        return Verdict.of(0.9, 0.9)


def judged(method: Method, iteration: int) -> tuple[int, int, int]:
    """Responses, comparisons and oracle calls of a prompt whose responses all differ."""
    responses = comparisons = 0
    oracle = Alphabet()
    for phase in method.phases(iteration):
        if phase.data_from:
            continue
        count = sum(sampling.count for sampling in phase.samples)
        given = {"responses": 1, "pairs": 2, None: 0}[phase.given]
        prompt = PromptSamples(0, [], [], [Sample(f"{number:02d}", []) for number in range(count + given)])
        counts = judge([prompt], phase.comparisons, Rules(phase.labels, 0, True, phase.margin), oracle).counts
        responses, comparisons = responses + count, comparisons + counts["comparisons"]
        assert counts["oracle_calls"] <= counts["comparisons"]
    return responses, comparisons, oracle.asked


@pytest.mark.parametrize("case", COSTS)
@pytest.mark.parametrize("iteration", [3, 7])
def test_an_iteration_costs_what_the_literature_says(case: str, iteration: int) -> None:
    section, responses, comparisons, trainings, cached = COSTS[case]
    plan = recipe({"method": section, "prompts.per_iteration": 100})
    work = work_of(plan, iteration)
    assert (work.responses, work.comparisons, work.trainings) == (100 * responses, 100 * comparisons, trainings)
    assert judged(plan.method, iteration) == (responses, comparisons, comparisons), (
        "all texts differ: no call is spared"
    )
    assert sum(len(phase.weights) for phase in plan.method.phases(iteration)) == cached
