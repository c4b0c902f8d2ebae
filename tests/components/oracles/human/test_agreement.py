"""How far annotators agree, against examples worked by hand and the literature."""

import pytest

from nashflow.components.oracles.human.agreement import agreement


def test_krippendorffs_example() -> None:
    """Krippendorff, Computing Krippendorff's alpha-reliability (2011), binary data, two observers: α = 0.095."""
    votes = [{"ann": x, "bob": y} for x, y in zip("babbbbbbbb", "aaabbabbab", strict=True)]
    found = agreement(votes)
    assert found is not None
    assert (found.comparisons, found.agreement) == (10, pytest.approx(0.6))
    assert found.alpha == pytest.approx(0.095, abs=5e-4)


def test_votes_of_one_annotator_say_nothing() -> None:
    assert agreement([{"ann": "a"}, {"ann": "b", "bob": "skip"}, {}]) is None


def test_agreement_about_everything_is_one() -> None:
    found = agreement([{"ann": "a", "bob": "a"}, {"ann": "b", "bob": "b", "cy": "b"}])
    assert found is not None
    assert (found.comparisons, found.agreement, found.alpha) == (2, 1.0, 1.0)


def test_where_all_votes_are_the_same_there_is_no_alpha() -> None:
    found = agreement([{"ann": "a", "bob": "a"}])
    assert found is not None
    assert found.alpha is None
    assert "α" not in str(found)


def test_a_comparison_with_more_votes_weighs_more() -> None:
    """Three votes on one, two on the other: D_o = (3 · 2/3 + 2 · 0) / 5, D_e = 1 - (4 · 3 + 0) / 20."""
    found = agreement([{"ann": "a", "bob": "a", "cy": "b"}, {"ann": "a", "bob": "a"}])
    assert found is not None
    assert found.agreement == pytest.approx(4 / 8)
    assert found.alpha == pytest.approx(1 - (2 / 5) / (1 - 12 / 20))
