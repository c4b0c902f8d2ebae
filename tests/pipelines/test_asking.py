"""Oracles and tournaments without a run."""

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import prompt_messages, response_text
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.methods.phases import Comparisons, Labels
from nashflow.components.oracles.base import Query
from nashflow.pipelines.asking import open_oracle, play
from nashflow.pipelines.run_root import open_run
from tests.fixtures.runs import SandboxRun

DIALOGUES = [prompt_messages(context) for context in (3, 0)]
RESPONSES = [[response_text(index) for index in numbers] for numbers in ((0, 7, 19, 24), (5, 4, 3, 2))]
SANDBOX = {"kind": "sandbox"}


def test_an_oracle_is_opened_by_a_recipes_section() -> None:
    (verdict,) = open_oracle({"kind": "sandbox", "world": {"seed": 4}}).compare([Query(DIALOGUES[0], "a a", "b c")])
    assert verdict.probability == pytest.approx(make_world(WorldSettings(seed=4)).matrix[3, 0, 7])


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"kind": "sandbx"}, "did you mean sandbox"),
        ({"kind": "reward_model", "model": "/nowhere"}, "/nowhere does not exist"),
    ],
)
def test_no_such_oracle(settings: dict[str, str], error: str) -> None:
    with pytest.raises(UserError, match=error):
        open_oracle(settings)


@pytest.mark.parametrize("comparisons", ["bracket", "iid", "all_pairs"])
@pytest.mark.parametrize("labels", ["binary", "soft"])
def test_pairs_are_won_and_carry_their_texts(comparisons: Comparisons, labels: Labels) -> None:
    played = play(open_oracle(SANDBOX), DIALOGUES, RESPONSES, comparisons, labels)
    matrix = make_world(WorldSettings()).matrix
    for row in played.pairs.to_pylist():
        texts = RESPONSES[row["row_id"]]
        assert row["messages"] == DIALOGUES[row["row_id"]]
        assert (row["chosen_text"], row["rejected_text"]) == (texts[row["chosen"]], texts[row["rejected"]])
        contexts, numbers = (3, 0), ((0, 7, 19, 24), (5, 4, 3, 2))
        context, responses = contexts[row["row_id"]], numbers[row["row_id"]]
        expected = matrix[context, responses[row["chosen"]], responses[row["rejected"]]]
        assert row["probability"] == pytest.approx(expected)
        assert expected > 0.5
    # In the second bracket the worst of four beats the best.
    counts = {"bracket": (2 * 5, 1), "iid": (2 * 2, 2 * 2), "all_pairs": (2 * 6, 2 * 6)}[comparisons]
    assert (played.comparisons.num_rows, played.pairs.num_rows) == counts
    for row in played.comparisons.to_pylist():
        assert row["first_text"] == RESPONSES[row["row_id"]][row["first"]]


def test_a_runs_tournament_is_played_again(finished_root: SandboxRun) -> None:
    """What the judging step has made of the same responses; its coins are of the prompts' own numbers."""
    run = open_run(finished_root.root)
    responses: dict[int, list[str]] = {}
    for row in run.responses(1).to_pylist():
        responses.setdefault(row["row_id"], []).append(row["text"])
    assert list(responses) == list(range(len(responses)))
    dialogues = run.prompts(1)["messages"].to_pylist()
    played = play(run.oracle(), dialogues, list(responses.values()), "iid", "sampled", signature=run.signature)
    assert played.comparisons.equals(run.comparisons(1))
    kept = [row for row in run.pairs(1).to_pylist() if row["chosen_text"] != row["rejected_text"]]
    assert played.pairs["chosen_text"].to_pylist() == [row["chosen_text"] for row in kept]


def test_nothing_is_asked_of_nobody() -> None:
    played = play(open_oracle(SANDBOX), [], [])
    assert (played.comparisons.num_rows, played.pairs.num_rows) == (0, 0)


def test_what_cannot_be_played() -> None:
    oracle = open_oracle(SANDBOX)
    with pytest.raises(UserError, match="2 dialogues, but 1 lists"):
        play(oracle, DIALOGUES, RESPONSES[:1])
    with pytest.raises(UserError, match="did you mean bracket"):
        play(oracle, DIALOGUES, RESPONSES, "brackets")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a bracket of 3 samples: not a power of two"):
        play(oracle, DIALOGUES, [texts[:3] for texts in RESPONSES])
