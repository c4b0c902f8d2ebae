"""Which policies stay: those that a user names, and all that a run reads later, whatever the method."""

import pytest

from nashflow.components.iterations.keep import master_stays, policy_stays
from nashflow.components.methods.base import Method
from nashflow.components.methods.mnpo import MNPO
from nashflow.components.methods.phases import Phase, PolicyRef
from nashflow.pipelines.recipe import SHIPPED, load_recipe
from tests.fixtures.runs import recipe

METHODS = {file.stem: load_recipe(file.stem).method for file in sorted(SHIPPED.glob("sandbox-*.yaml"))}
METHODS["a long history"] = MNPO(eta=0.5, tau=0.1, history=(0.4, 0.3, 0.2, 0.1))
INPO = recipe().method


def read_by(phase: Phase) -> set[PolicyRef]:
    sampled = {policy for sampling in phase.samples for policy in sampling.weights}
    names = {str(phase.start_from), *phase.weights, *sampled}
    return {PolicyRef(int(name[:3]), name[4:]) for name in names}


@pytest.mark.parametrize("keep", ["all", "last 1", "last 2", "every 3"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_no_iteration_lacks_a_policy_or_a_start_also_where_the_run_is_extended(method: Method, keep: str) -> None:
    policies = masters = {PolicyRef(0)}
    for iteration in range(1, 10):
        last = 5 if iteration <= 5 else 9
        for phase in method.phases(iteration):
            assert read_by(phase) <= policies
            assert phase.start_from in masters
            policies, masters = policies | {phase.result}, masters | {phase.result}
        policies = {each for each in policies if policy_stays(method, keep, each, iteration, last)}
        masters = {each for each in masters if master_stays(method, each, iteration, last)}
    assert {PolicyRef(0), PolicyRef(9)} <= policies


def stay(keep: str, done: int) -> list[int]:
    return [t for t in range(done + 1) if policy_stays(INPO, keep, PolicyRef(t), done, 10)]


def test_the_words_mean_what_they_say() -> None:
    assert stay("all", 4) == [0, 1, 2, 3, 4]
    assert stay("last 1", 4) == [0, 4]
    assert stay("last 3", 6) == [0, 4, 5, 6]
    assert stay("every 2", 5) == [0, 2, 4, 5]
    assert stay("every 12", 5) == [0, 5]


def test_float32_weights_stay_for_the_next_training_alone() -> None:
    assert [t for t in range(1, 7) if master_stays(INPO, PolicyRef(t), 4, 10)] == [4, 5, 6]


@pytest.mark.parametrize("keep", ["none", "last", "last 0", "every 0", "all 3", "last 1.5"])
def test_other_words_are_refused(keep: str) -> None:
    with pytest.raises(Exception, match=r"run\.keep: .*last .*not"):
        recipe({"run.keep": keep})
