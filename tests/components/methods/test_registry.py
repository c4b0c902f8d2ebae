"""The recipe's `method` section: told apart by name, refused with one line that says what to set."""

from typing import Any

import pytest

from nashflow.components.methods import AnyMethod, phase_of
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.settings import Settings

INPO_SECTION = {"name": "inpo", "eta": 0.5, "tau": 0.1}
DPO_SECTION = {"name": "iterative_dpo"}


class Recipe(Settings):
    method: AnyMethod


def read(section: Any) -> Any:
    return Recipe.parse({"method": section}, "recipe.yaml").method


def test_the_name_chooses_the_method() -> None:
    assert read(INPO_SECTION) == INPO(eta=0.5, tau=0.1)
    assert read(DPO_SECTION) == IterativeDPO()


@pytest.mark.parametrize("section", [INPO_SECTION, DPO_SECTION | {"reference": "fixed", "samples": 8}])
def test_a_section_comes_back_from_json(section: dict[str, Any]) -> None:
    method = read(section)
    assert read(method.model_dump(mode="json")) == method


LINES = [
    (
        INPO_SECTION | {"tau": 0.6},
        "method: tau is 0.6, above eta = 0.5, which makes the weight of the current policy, 1 - tau/eta, negative: "
        "set tau to at most 0.5",
    ),
    (INPO_SECTION | {"eta": 0}, "method.eta: Input should be greater than 0, not 0"),
    (INPO_SECTION | {"tau": -0.1}, "method.tau: Input should be greater than or equal to 0, not -0.1"),
    (INPO_SECTION | {"eta": float("inf")}, "method.eta: Input should be a finite number, not inf"),
    ({"name": "inpo", "eta": 0.5}, "method.tau: required, but missing"),
    ({"name": "inpo"}, "method.eta: required, but missing; method.tau: required, but missing"),
    (INPO_SECTION | {"etta": 1}, "method.etta: unknown key; did you mean method.eta?"),
    (INPO_SECTION | {"temprature": 1}, "method.temprature: unknown key; did you mean method.temperature?"),
    # β is no constant of INPO's, label smoothing none of a regression's
    (
        INPO_SECTION | {"label_smoothing": 0.1},
        "method.label_smoothing: unknown key; known here: "
        "comparisons, eta, labels, name, reduction, samples, tau, temperature",
    ),
    ({"name": "ipno"}, "method.name: 'ipno' is unknown; did you mean inpo?"),
    ({"name": "iterative-dpo"}, "method.name: 'iterative-dpo' is unknown; did you mean iterative_dpo?"),
    ({"name": "ppo2"}, "method.name: 'ppo2' is unknown; known here: inpo, iterative_dpo"),
    ({"eta": 0.5}, "method.name: required, but missing"),
    ("inpo", "method: keys and values are wanted here, not 'inpo'"),
    (INPO_SECTION | {"labels": "hard"}, "method.labels: Input should be 'binary', 'sampled' or 'soft', not 'hard'"),
    (INPO_SECTION | {"temperature": 0}, "method.temperature: Input should be greater than 0, not 0"),
    (DPO_SECTION | {"beta": 0}, "method.beta: Input should be greater than 0, not 0"),
    (DPO_SECTION | {"label_smoothing": 0.5}, "method.label_smoothing: Input should be less than 0.5, not 0.5"),
    (DPO_SECTION | {"reference": "moved"}, "method.reference: Input should be 'moving' or 'fixed', not 'moved'"),
    (
        DPO_SECTION | {"labels": "soft"},
        "method: labels is soft, which the logistic loss does not read: set labels to sampled or binary",
    ),
]


@pytest.mark.parametrize(("section", "line"), LINES, ids=[str(section) for section, _ in LINES])
def test_a_wrong_section_gets_its_line(section: Any, line: str) -> None:
    with pytest.raises(UserError) as caught:
        read(section)
    assert str(caught.value) == f"recipe.yaml: {line}"


@pytest.mark.parametrize("section", [INPO_SECTION, DPO_SECTION])
@pytest.mark.parametrize(
    ("samples", "choices"), [(3, "2 or 4"), (6, "4 or 8"), (7, "4 or 8"), (12, "8 or 16"), (1000, "512 or 1024")]
)
def test_a_bracket_wants_a_power_of_two(section: dict[str, Any], samples: int, choices: str) -> None:
    with pytest.raises(UserError) as caught:
        read(section | {"samples": samples, "comparisons": "bracket"})
    assert str(caught.value) == (
        f"recipe.yaml: method: samples is {samples}, but a bracket needs a power of two: "
        f"set samples to {choices}, or comparisons to iid"
    )


@pytest.mark.parametrize("samples", [2, 4, 8, 16, 1024])
def test_powers_of_two_make_a_bracket(samples: int) -> None:
    assert read(INPO_SECTION | {"samples": samples, "comparisons": "bracket"}).samples == samples


def test_iid_pairs_want_an_even_number() -> None:
    assert read(INPO_SECTION | {"samples": 6}).samples == 6
    with pytest.raises(UserError) as caught:
        read(INPO_SECTION | {"samples": 5})
    assert str(caught.value) == "recipe.yaml: method: samples is 5, but iid pairs need an even number: set 6"
    with pytest.raises(UserError, match=r"method\.samples: Input should be greater than or equal to 2, not 1$"):
        read(INPO_SECTION | {"samples": 1})


def test_a_phase_is_found_by_its_name() -> None:
    method = INPO(eta=0.5, tau=0.1)
    assert phase_of(method, 3, "main") == method.phases(3)[0]
    with pytest.raises(ValueError, match=r"^inpo has no phase half at iteration 3$"):
        phase_of(method, 3, "half")
