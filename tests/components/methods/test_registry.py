"""The recipe's `method` section: told apart by name, refused with one line that says what to set."""

from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings
from nashflow.components.methods import AnyMethod, phase_of
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.onpo import ONPO

SECTIONS: dict[str, dict[str, Any]] = {
    "inpo": {"eta": 0.5, "tau": 0.1},
    "onpo": {"eta": 0.5},
    "egpo": {"eta": 0.5, "beta": 0.1},
    "nash_mp": {"beta": 0.1},
    "mnpo": {"eta": 0.5, "tau": 0.1, "history": [0.25, 0.75]},
    "nash_md": {"tau": 0.1},
    "sppo": {"eta": 1.0},
    "dno": {"margin": 0.3},
    "online_ipo": {"tau": 0.1, "updates": 2},
    "ipo": {"tau": 0.1},
    "iterative_dpo": {"reference": "fixed", "samples": 8},
}
"""Every method with what it must be told, and a little more."""


class Recipe(Settings):
    method: AnyMethod


def read(section: Any) -> Any:
    return Recipe.parse({"method": section}, "recipe.yaml").method


def line(section: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(section)
    said = str(caught.value)
    assert said.startswith("recipe.yaml: method")
    assert "\n" not in said
    return said.removeprefix("recipe.yaml: ")


@pytest.mark.parametrize("name", SECTIONS)
def test_the_name_chooses_the_method_and_a_section_comes_back_from_json(name: str) -> None:
    method = read({"name": name, **SECTIONS[name]})
    assert method.name == name
    assert read(method.model_dump(mode="json")) == method


@pytest.mark.parametrize("name", SECTIONS)
def test_an_iteration_ends_with_the_policy_that_the_next_one_samples(name: str) -> None:
    method = read({"name": name, **SECTIONS[name]})
    for iteration in (1, 2, 5):
        phases = method.phases(iteration)
        assert len({phase.name for phase in phases}) == len(phases)
        assert str(phases[-1].result) == f"{iteration:03d}/main"
        known = {str(ref) for past in range(1, iteration) for ref in (phase.result for phase in method.phases(past))}
        known.add("000/main")
        for phase in phases:
            sampled = {ref for sampling in phase.samples for ref in sampling.weights}
            assert {str(phase.start_from), *phase.weights, *sampled} <= known, "only policies that exist by then"
            assert phase.data_from is None or phase.data_from in {earlier.name for earlier in phases}
            known.add(str(phase.result))


@pytest.mark.parametrize("name", SECTIONS)
def test_a_setting_that_the_method_does_not_read_is_refused(name: str) -> None:
    """Each gets β's, τ's or η's of others, and every one of the sampling settings where it samples nothing."""
    fields = set(type(read({"name": name, **SECTIONS[name]})).model_fields)
    others = {"beta", "tau", "eta", "samples", "margin", "history", "label_smoothing", "updates"} - fields
    for other in others:
        assert f"method.{other}: unknown key" in line({"name": name, **SECTIONS[name], other: 1})


LINES = [
    ("inpo", {"eta": 0}, "method.eta: 0 is neither a number above 0 nor 'decreasing'"),
    ("inpo", {"eta": float("inf")}, "method.eta: inf is neither a number above 0 nor 'decreasing'"),
    ("nash_md", {"eta": "falling"}, "method.eta: 'falling' is neither a number above 0 nor 'decreasing'"),
    ("inpo", {"tau": -0.1}, "method.tau: Input should be greater than or equal to 0, not -0.1"),
    (
        "inpo",
        {"tau": 0.6},
        "method: tau is 0.6, above eta = 0.5, which makes the weight of the current policy, 1 - tau/eta, negative: "
        "set tau to at most 0.5",
    ),
    (
        "inpo",
        {"eta": "decreasing", "tau": 0},
        "method: eta is decreasing, which means tau (t + 2) / 2: set tau above 0, or eta to a number",
    ),
    (
        "egpo",
        {"eta": 4, "beta": 0.5},
        "method: eta * beta is 2, which makes the weight of the current policy, 1 - eta beta, negative: "
        "set eta to at most 2",
    ),
    (
        "nash_md",
        {"eta": 4, "tau": 0.5},
        "method: eta * tau is 2, which makes the weight of the current policy, 1 - eta tau, negative: "
        "set eta to at most 2, or to decreasing",
    ),
    ("nash_mp", {"proximal_weight": 0}, "method.proximal_weight: Input should be greater than 0, not 0"),
    ("mnpo", {"history": [0.5, 0.4]}, "method: history is [0.5, 0.4], which sums to 0.9, not to 1"),
    (
        "mnpo",
        {"history": [0, 1]},
        "method: history is [0.0, 1.0]: give weights >= 0, that of the current policy above 0",
    ),
    (
        "mnpo",
        {"history": [1.5, -0.5]},
        "method: history is [1.5, -0.5]: give weights >= 0, that of the current policy above 0",
    ),
    ("mnpo", {"history": []}, "method: history is []: give weights >= 0, that of the current policy above 0"),
    (
        "mnpo",
        {"tau": 0.6},
        "method: tau is 0.6, above eta = 0.5, which makes the weight of the history, 1 - tau/eta, negative: "
        "set tau to at most 0.5",
    ),
    ("onpo", {"eta": 0}, "method.eta: Input should be greater than 0, not 0"),
    ("onpo", {"tau": 0.1}, "method.tau: unknown key; did you mean method.eta?"),
    (
        "sppo",
        {"comparisons": "iid"},
        "method.comparisons: Input should be 'win_rates', 'extremes' or 'max_min', not 'iid'",
    ),
    (
        "sppo",
        {"samples": 5},
        "method: samples is 5, but comparisons is win_rates, which pairs neighbours and needs an even number: "
        "set samples to 6",
    ),
    (
        "inpo",
        {"samples": 5},
        "method: samples is 5, but comparisons is iid, which pairs neighbours and needs an even number: "
        "set samples to 6",
    ),
    (
        "inpo",
        {"samples": 3, "comparisons": "versus_opponent"},
        "method: samples is 3, but comparisons is versus_opponent, which pairs neighbours and needs an even "
        "number: set samples to 4",
    ),
    ("inpo", {"samples": 1}, "method.samples: Input should be greater than or equal to 2, not 1"),
    (
        "inpo",
        {"comparisons": "win_rates"},
        "method.comparisons: Input should be 'bracket', 'seeded', 'iid', 'all_pairs', 'max_min' or 'versus_opponent', "
        "not 'win_rates'",
    ),
    ("inpo", {"labels": "hard"}, "method.labels: Input should be 'binary', 'sampled', 'soft' or 'score', not 'hard'"),
    ("inpo", {"temperature": 0}, "method.temperature: Input should be greater than 0, not 0"),
    ("inpo", {"temprature": 1}, "method.temprature: unknown key; did you mean method.temperature?"),
    (
        "inpo",
        {"label_smoothing": 0.1},
        "method.label_smoothing: unknown key; known here: "
        "comparisons, eta, labels, name, reduction, reference_apart, samples, tau, temperature",
    ),
    ("iterative_dpo", {"labels": "soft"}, "method.labels: Input should be 'sampled' or 'binary', not 'soft'"),
    ("iterative_dpo", {"beta": 0}, "method.beta: Input should be greater than 0, not 0"),
    ("iterative_dpo", {"label_smoothing": 0.5}, "method.label_smoothing: Input should be less than 0.5, not 0.5"),
    ("iterative_dpo", {"reference": "moved"}, "method.reference: Input should be 'moving' or 'fixed', not 'moved'"),
    (
        "iterative_dpo",
        {"comparisons": "versus_opponent"},
        "method.comparisons: Input should be 'bracket', 'seeded', 'iid', 'all_pairs' or 'max_min', "
        "not 'versus_opponent'",
    ),
    ("dno", {"labels": "soft"}, "method.labels: Input should be 'sampled' or 'binary', not 'soft'"),
    ("dno", {"comparisons": "bracket"}, "method.comparisons: Input should be 'all_pairs' or 'max_min', not 'bracket'"),
    ("dno", {"margin": 1}, "method.margin: Input should be less than 1, not 1"),
    ("online_ipo", {"updates": 0}, "method.updates: Input should be greater than or equal to 1, not 0"),
    ("ipo", {"samples": 4}, "method.samples: unknown key; known here: name, reduction, reference_apart, tau"),
]


@pytest.mark.parametrize(("name", "changes", "expected"), LINES, ids=[f"{name} {what}" for name, what, _ in LINES])
def test_a_wrong_setting_gets_its_line(name: str, changes: dict[str, Any], expected: str) -> None:
    assert line({"name": name, **SECTIONS[name], **changes}) == expected


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"name": "inpo", "eta": 0.5}, "method.tau: required, but missing"),
        ({"name": "inpo"}, "method.eta: required, but missing; method.tau: required, but missing"),
        ({"name": "nash_pm"}, "method.name: 'nash_pm' is unknown; did you mean nash_mp?"),
        ({"name": "nash-md"}, "method.name: 'nash-md' is unknown; did you mean nash_md?"),
        (
            {"name": "reinforce"},
            "method.name: 'reinforce' is unknown; known here: "
            "dno, egpo, inpo, ipo, iterative_dpo, mnpo, nash_md, nash_mp, online_ipo, onpo, sppo",
        ),
        ({"eta": 0.5}, "method.name: required, but missing"),
        ("inpo", "method.eta: required, but missing; method.tau: required, but missing"),
        ("inpoo", "method.name: 'inpoo' is unknown; did you mean inpo?"),
        (0.5, "method: keys and values are wanted here, not 0.5"),
    ],
    ids=str,
)
def test_a_wrong_section_gets_its_line(section: Any, expected: str) -> None:
    assert line(section) == expected


BRACKETS = ["inpo", "onpo", "egpo", "nash_mp", "mnpo", "nash_md", "online_ipo", "iterative_dpo"]


@pytest.mark.parametrize("name", BRACKETS)
@pytest.mark.parametrize(
    ("samples", "choices"), [(3, "2 or 4"), (6, "4 or 8"), (7, "4 or 8"), (12, "8 or 16"), (1000, "512 or 1024")]
)
def test_a_bracket_wants_a_power_of_two(name: str, samples: int, choices: str) -> None:
    assert line({"name": name, **SECTIONS[name], "samples": samples, "comparisons": "bracket"}) == (
        f"method: samples is {samples}, but a bracket needs a power of two: set samples to {choices}, "
        "or comparisons to iid"
    )


@pytest.mark.parametrize("samples", [2, 4, 8, 16, 1024])
def test_powers_of_two_make_a_bracket(samples: int) -> None:
    assert read({"name": "inpo", **SECTIONS["inpo"], "samples": samples, "comparisons": "bracket"}).samples == samples


@pytest.mark.parametrize("comparisons", ["all_pairs", "max_min"])
def test_any_number_meets_everybody(comparisons: str) -> None:
    assert read({"name": "inpo", **SECTIONS["inpo"], "samples": 5, "comparisons": comparisons}).samples == 5


@pytest.mark.parametrize("name", SECTIONS)
def test_the_bare_name_stands_for_a_method_that_needs_no_more(name: str) -> None:
    fields = type(read({"name": name, **SECTIONS[name]})).model_fields.values()
    if any(field.is_required() for field in fields):
        assert "required, but missing" in line(name)
    else:
        assert read(name) == read({"name": name})


def test_a_phase_is_found_by_its_name() -> None:
    method = INPO(eta=0.5, tau=0.1)
    assert phase_of(method, 3, "main") == method.phases(3)[0]
    assert phase_of(ONPO(eta=0.5), 3, "auxiliary") == ONPO(eta=0.5).phases(3)[0]
    with pytest.raises(ValueError, match=r"^inpo has no phase half at iteration 3$"):
        phase_of(method, 3, "half")
