"""The docstrings of methods: read by their keys, and refused where one is missing."""

import re
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.docstrings import describe

WHOLE = """ABC: a better correction, in its
practical form (Somebody et al., arXiv 2401.01234, eq. 5).

Game        J(π, π') = P(π ≻ π') and
            its mirror image
Loss        E (h − 1/(2η))²,  h = D − D_t
Assumes     nothing.
Guarantee   none;
            at all.
η           the learning rate.

Out of scope: what lies
beyond.

And more.
"""


def test_a_docstring_is_read_by_its_keys() -> None:
    described = describe(WHOLE, "abc.py")
    assert (described.name, described.long) == ("ABC", "a better correction, in its practical form")
    assert described.source == "Somebody et al., arXiv 2401.01234, eq. 5"
    assert described.entries == {
        "Game": "J(π, π') = P(π ≻ π') and its mirror image",
        "Loss": "E (h − 1/(2η))²,  h = D − D_t",
        "Assumes": "nothing.",
        "Guarantee": "none; at all.",
        "η": "the learning rate.",
    }
    assert described.notes == ["Out of scope: what lies beyond.", "And more."]


def test_a_name_may_stand_for_itself() -> None:
    described = describe(re.sub("ABC: a .*form", "Iterative ABC", WHOLE, flags=re.DOTALL), "abc.py")
    assert (described.name, described.long) == ("Iterative ABC", "")


@pytest.mark.parametrize("key", ["Game", "Loss", "Assumes", "Guarantee"])
def test_a_missing_key_is_named(key: str) -> None:
    without = re.sub(rf"^{key} .*\n( .*\n)*", "", WHOLE, flags=re.MULTILINE)
    with pytest.raises(ValueError, match=rf"^abc\.py: the docstring lacks {key}$"):
        describe(without, "abc.py")


@pytest.mark.parametrize("constant", ["η", "λ", "β", "τ", "x"])
def test_what_decides_the_step_is_said(constant: str) -> None:
    changed = WHOLE.replace("η     ", f"{constant}     ")
    if constant != "x":
        assert describe(changed, "abc.py").entries[constant] == "the learning rate."
        return
    with pytest.raises(ValueError, match=r"^abc\.py: the docstring says of none of η, λ, β, τ what it means$"):
        describe(changed, "abc.py")


@pytest.mark.parametrize(
    "title", ["", "ABC: a better correction.", "ABC: a better correction (Somebody et al.).", "ABC (arXiv 2401.01234)"]
)
def test_a_title_names_the_paper(title: str) -> None:
    with pytest.raises(ValueError, match=r"^abc\.py: the docstring's first line is not `NAME: what it is \(paper, arX"):
        describe(f"{title}\n\n{WHOLE.partition(chr(10) * 2)[2]}", "abc.py")


@pytest.mark.parametrize("line", ["It is good", "Key: value", "   before any key"])
def test_a_line_without_a_key_is_shown(line: str) -> None:
    title, _, rest = WHOLE.partition("\n\n")
    with pytest.raises(ValueError, match=rf"^abc\.py: the docstring's line '{line}' has no key$"):
        describe(f"{title}\n\n{line}\n{rest}", "abc.py")


@given(st.lists(st.text(st.characters(categories=["L", "N", "S"], exclude_characters=" "), min_size=1), min_size=1))
def test_a_text_that_was_wrapped_comes_back_whole(words: list[str]) -> None:
    lines = textwrap.wrap(" ".join(words), 40, break_long_words=False, break_on_hyphens=False)
    wrapped = "\n            ".join(lines)
    described = describe(WHOLE.replace("nothing.", wrapped), "abc.py")
    assert described.entries["Assumes"].split() == " ".join(words).split()
    assert described.entries["Guarantee"] == "none; at all."
