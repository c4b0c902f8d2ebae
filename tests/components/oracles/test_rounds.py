"""Rounds of many tournaments: how full calls are, how many tournaments are under way, and what a kill loses."""

import json

import pytest

from nashflow.components.methods.phases import Comparisons
from nashflow.components.oracles.human.comparison import Shown
from nashflow.components.oracles.human.oracle import HumanOracle
from nashflow.components.oracles.mixture.oracle import MixtureOracle
from nashflow.components.oracles.referee import PromptSamples, Rules
from nashflow.components.oracles.rounds import Asked, Judged, Rounds, judge
from nashflow.components.oracles.unanswered import Unanswered
from tests.fixtures.table_oracle import TableOracle, prompt

RULES = Rules("binary", 0, drop_identical=True)
PROMPTS = [prompt(row_id, *(f"{(row_id * 7 + index * 5) % 11}" for index in range(8))) for row_id in range(60)]


def oracle() -> TableOracle:
    return TableOracle(lambda first, second: 0.8 if int(first) > int(second) else 0.3)


def played(prompts: list[PromptSamples], comparisons: Comparisons, asks: TableOracle, **how: int) -> Judged:
    return Judged.joined([call.ended for call in Rounds(prompts, comparisons, RULES, asks, **how).calls()])


@pytest.mark.parametrize(("together", "fill"), [(1, 1), (1, 24), (7, 1), (64, 24)])
@pytest.mark.parametrize("comparisons", ["bracket", "all_pairs"])
def test_how_many_are_played_together_changes_no_row(comparisons: Comparisons, together: int, fill: int) -> None:
    assert played(PROMPTS, comparisons, oracle(), together=together, fill=fill) == judge(
        PROMPTS, comparisons, RULES, oracle()
    )


def test_calls_are_full_until_the_prompts_are_used_up() -> None:
    """Rounds of a bracket of eight have four, four, two and one question."""
    asks = oracle()
    calls = list(Rounds(PROMPTS, "bracket", RULES, asks, together=1, fill=24).calls())
    sizes = [len(batch) for batch in asks.batches]
    used_up = next(index for index, call in enumerate(calls) if call.begun == len(PROMPTS))
    assert all(24 <= size <= 24 + 3 for size in sizes[:used_up])
    assert len(calls) == len(sizes)


def test_few_tournaments_are_under_way_whatever_the_number_of_prompts() -> None:
    ended, most = 0, 0
    for call in Rounds(PROMPTS, "bracket", RULES, oracle(), together=1, fill=24).calls():
        most = max(most, call.begun - ended)
        ended += len(call.prompts)
    assert ended == len(PROMPTS)
    assert most <= 24


def test_every_call_may_be_the_last_one_before_a_kill() -> None:
    """Whatever call that is, another attempt asks the rest alone, in the same calls."""
    asks = oracle()
    calls = list(Rounds(PROMPTS[:20], "bracket", RULES, asks, together=3, fill=8).calls())
    for kept in range(len(calls)):
        done = json.loads(json.dumps([call._asdict() | {"ended": None} for call in calls[:kept]]))
        ended = [row_id for call in done for row_id in call["prompts"]]
        known = [each for call in done for each in call["verdicts"] if each["row_id"] not in ended]
        again = oracle()
        rest = Rounds(PROMPTS[len(ended) : 20], "bracket", RULES, again, together=3, fill=8)
        rest.resume(len(ended), done[-1]["begun"] if done else 0, known)
        assert list(rest.calls()) == calls[kept:]
        assert again.batches == asks.batches[kept:]


def test_a_tournament_that_needed_no_verdict_counts_once_after_a_kill() -> None:
    """One whose samples are all the same has ended before the first call, behind one that has not."""
    prompts = [prompt(0, *map(str, range(4))), prompt(1, *["same"] * 4)]
    whole = played(prompts, "bracket", oracle(), together=2)
    first = next(Rounds(prompts, "bracket", RULES, oracle(), together=2).calls())
    rest = Rounds(prompts, "bracket", RULES, oracle(), together=2)
    rest.resume(0, first.begun, first.verdicts)
    assert Judged.joined([call.ended for call in rest.calls()]) == whole


def test_what_waits_for_people_is_named_together_and_the_others_are_asked_once() -> None:
    """People answer half of what they are asked each time; the attempts follow one another."""
    dear, votes = oracle(), dict[str, dict[str, str]]()
    kept: list[Asked] = []
    attempts = 0
    while True:
        attempts += 1
        ended = [row_id for call in kept for row_id in call.prompts]
        mixture = MixtureOracle([dear, HumanOracle(votes, "Which?", 1)], [0.5, 0.5], ["table", "human"])
        rounds = Rounds(PROMPTS[len(ended) : 12], "bracket", RULES, mixture, together=3, fill=8)
        known = [each for call in kept for each in call.verdicts if each["row_id"] not in ended]
        rounds.resume(len(ended), kept[-1].begun if kept else 0, known)
        try:
            kept += rounds.calls()  # as far as they come
            break
        except Unanswered as unanswered:
            questions = unanswered.questions
        assert {query.messages[0]["content"] for query in questions} <= {f"question {row}" for row in range(12)}
        for query in questions[::2]:
            votes[Shown.of(query, "Which?", 0).id] = {"ann": "a"}
    assert attempts > 4
    assert len(dear.asked) == len(set(dear.asked)) == len(votes)
    whole = MixtureOracle([oracle(), HumanOracle(votes, "Which?", 1)], [0.5, 0.5], ["table", "human"])
    assert Judged.joined([call.ended for call in kept]) == judge(PROMPTS[:12], "bracket", RULES, whole)
