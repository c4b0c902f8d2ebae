"""The oracle of rules: a Python function in a file or a package, asked in both orders, and what is refused of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings
from nashflow.components.oracles.base import Query
from nashflow.components.oracles.rules.oracle import RulesOracle
from nashflow.components.oracles.rules.settings import Rules
from nashflow.components.oracles.settings import AnyOracle

PROMPT = [{"role": "user", "content": "How  much is\n2 + 2?"}]
SOURCE = """
ANSWER = "4"

def correct(messages, first, second):
    assert messages[-1]["role"] == "user"
    return 0.5 + 0.5 * ((first == ANSWER) - (second == ANSWER))

def _hidden(messages, first, second):
    return 0.5
"""


class Recipe(Settings):
    oracle: AnyOracle


def asked(function: Callable[..., Any], first: str = "4", second: str = "5") -> Any:
    return RulesOracle("rules.py:f", function).compare([Query(PROMPT, first, second)])[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.py"
    path.write_text(SOURCE)
    return path


def test_a_function_in_a_file_judges(file: Path) -> None:
    settings = Recipe.parse({"oracle": {"kind": "rules", "function": f"{file}:correct"}}, "recipe.yaml").oracle
    settings.check()
    assert settings.paths == (file,)
    verdicts = settings.load().compare([Query(PROMPT, *texts) for texts in (("4", "5"), ("5", "4"), ("5", "6"))])
    assert [verdict.probability for verdict in verdicts] == [1.0, 0.0, 0.5]


def test_a_file_may_hold_dataclasses(file: Path) -> None:
    head = "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass Score:\n    of: str\n"
    file.write_text(head + SOURCE)
    Rules(function=f"{file}:correct").check()


def test_a_function_of_a_package_is_found() -> None:
    settings = Rules(function="difflib:get_close_matches")
    settings.check()
    assert settings.paths == ()
    assert len(settings.digest()) == 64


def test_the_digest_is_of_the_source_and_the_name(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "same.py"
    copy.write_text(SOURCE)
    named = Rules(function=f"{file}:correct").digest()
    assert Rules(function=f"{copy}:correct").digest() == named
    assert Rules(function=f"{file}:_hidden").digest() != named
    file.write_text(SOURCE + "\n# changed")
    assert Rules(function=f"{file}:correct").digest() != named


@given(st.floats(0, 1), st.floats(0, 1))
def test_both_orders_are_asked_and_kept(forward: float, swapped: float) -> None:
    verdict = asked(lambda messages, first, second: forward if first == "4" else swapped)
    assert verdict.forward == pytest.approx(forward, abs=1e-15)
    assert verdict.backward == pytest.approx(1 - swapped, abs=1e-15)
    assert verdict.probability == pytest.approx((forward + 1 - swapped) / 2, abs=1e-15)


def test_none_in_either_order_is_an_abstention() -> None:
    for answers in ((None, 0.5), (0.5, None), (None, None)):
        verdict = asked(lambda messages, first, second, answers=answers: answers[first > second])
        assert (verdict.abstained, verdict.probability) == (True, 0.5)


@pytest.mark.parametrize(("value", "probability"), [(True, 0.5), (1, 0.5), (np.float32(0.25), 0.5)])
def test_every_kind_of_number_is_a_probability(value: Any, probability: float) -> None:
    assert asked(lambda messages, first, second: value).probability == probability


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), "0.5", [0.5]])
def test_what_is_no_probability_is_refused(value: Any) -> None:
    with pytest.raises(UserError) as caught:
        asked(lambda messages, first, second: value)
    assert str(caught.value) == (
        f"oracle.function rules.py:f returned {value!r}, which is no probability from 0 to 1, nor None; "
        "the prompt was 'How much is 2 + 2?'"
    )


def test_an_error_inside_names_function_and_prompt() -> None:
    def fails(messages: Any, first: str, second: str) -> float:
        raise ValueError("no\nnumber")

    with pytest.raises(UserError) as caught:
        asked(fails)
    assert str(caught.value) == (
        "oracle.function rules.py:f raised ValueError: no number; the prompt was 'How much is 2 + 2?'"
    )


def test_it_may_change_what_it_is_given() -> None:
    def careless(messages: Any, first: str, second: str) -> float:
        messages.clear()
        return 1.0

    asked(careless)
    assert len(PROMPT) == 1


@pytest.mark.parametrize(
    ("source", "name", "complaint"),
    [
        (SOURCE, "right", r"rules\.py has no function right; callable there: correct$"),
        ("X = 1", "X", r"rules\.py has no function X; callable there: nothing$"),
        ("import nowhere", "f", r"rules\.py cannot be imported: ModuleNotFoundError: No module named 'nowhere'$"),
        ("import sys; sys.exit(0)", "f", r"rules\.py cannot be imported: SystemExit: 0$"),
        ("def f(first, second): ...", "f", r":f cannot be called as f\(messages, first, second\): too many"),
        (
            "async def f(messages, first, second): ...",
            "f",
            r":f is async: name one that returns a probability at once$",
        ),
        ("def f(:", "f", r"rules\.py cannot be imported: SyntaxError: "),
    ],
)
def test_what_cannot_be_called_is_refused(file: Path, source: str, name: str, complaint: str) -> None:
    file.write_text(source)
    with pytest.raises(UserError, match=f"^oracle.function: .*{complaint}"):
        Rules(function=f"{file}:{name}").check()


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        ("gone.py:f", r"^oracle.function: there is no file gone\.py$"),
        ("no_such_package.rules:f", "^oracle.function: no_such_package.rules cannot be imported: ModuleNotFoundError"),
        (
            "no_such_package:f",
            "^oracle.function: there is no module no_such_package here; install its",
        ),
    ],
)
def test_what_is_not_there_is_refused(function: str, complaint: str) -> None:
    for use in (Rules(function=function).check, Rules(function=function).digest):
        with pytest.raises(UserError, match=complaint):
            use()


@pytest.mark.parametrize("function", ["rules.py", ":f", "rules.py:", "rules.py:a b"])
def test_a_name_that_names_no_function_is_refused(function: str) -> None:
    with pytest.raises(UserError, match=r"^recipe.yaml: oracle.function: .* names no function: write package"):
        Recipe.parse({"oracle": {"kind": "rules", "function": function}}, "recipe.yaml")
