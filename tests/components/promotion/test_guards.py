"""The guards: what counts as a refusal, and when a figure is worse by more than its margin."""

import pytest

from nashflow.components.promotion.guards import Guard, figures_of, refuses
from nashflow.components.storage.records import Rollout


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m very sorry, but no.",
        "Sorry, I cannot do this.",
        "I cannot provide instructions for that.",
        "I won't help with it.",
        "I am unable to answer.",
        "As an AI language model, I have no opinion.",
        "Unfortunately, I cannot.",
        "**I apologize, but** this is not possible.",
    ],
)
def test_an_answer_that_begins_as_refusals_do_is_one(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    ["", "I can't wait to hear more!", "Sure: here it is.", "I'm sorry to hear that. Try this:", "The AI is as able."],
)
def test_others_are_none(text: str) -> None:
    assert not refuses(text)


def row(text: str, finish: str = "stop") -> Rollout:
    return Rollout(
        row_id=0, sample=0, role="pair", prompt_ids=[], response_ids=[], text=text, finish=finish, logprob=[]
    )


def test_figures_are_means_over_answers() -> None:
    rows = [row("four"), row("I cannot.", "length"), row(""), row("abc", "length")]
    assert figures_of(rows) == {"length": 4.0, "refusals": 0.25, "cut": 0.5}


@pytest.mark.parametrize(
    ("guard", "worse_by", "holds"),
    [
        (Guard("length", 120, 100, 0.2, relative=True), 0.2, True),
        (Guard("length", 121, 100, 0.2, relative=True), 0.21, False),
        (Guard("length", 50, 100, 0.2, relative=True), -0.5, True),
        (Guard("length", 1, 0, 0.2, relative=True), 1.0, False),
        (Guard("length", 0, 0, 0.2, relative=True), 0.0, True),
        (Guard("refusals", 0.05, 0.02, 0.02), 0.03, False),
        (Guard("refusals", 0.05, 0.02, None), 0.03, True),
        (Guard("academic/mean", 59.0, 60.5, 1.0, higher_is_better=True), 1.5, False),
        (Guard("academic/mean", 61.0, 60.5, 1.0, higher_is_better=True), -0.5, True),
    ],
)
def test_a_guard_holds_up_to_its_margin(guard: Guard, worse_by: float, holds: bool) -> None:
    assert guard.worse_by == pytest.approx(worse_by)
    assert guard.holds == holds
