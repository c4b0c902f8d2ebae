"""The oracle of people: what its verdicts are, what it lacks, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.base import ABSTENTION, EVEN, Query
from nashflow.components.oracles.human.comparison import Shown
from nashflow.components.oracles.human.settings import Human
from nashflow.components.oracles.unanswered import Unanswered
from nashflow.components.storage import layout
from nashflow.components.storage.store import Store, open_store

ASKED = Query([{"role": "user", "content": "x"}], "good", "bad")
WHICH = Human().instructions
SHOWN = Shown.of(ASKED, WHICH, 0)


def voted(*words: str) -> list[dict[str, Any]]:
    """Lines in which ann, bob, … say good, bad, tie or skip of the one comparison."""
    side = {SHOWN.a: "a", SHOWN.b: "b"}
    names = ("ann", "bob", "cy", "di")
    return [
        {"comparison": SHOWN.id, "annotator": name, "verdict": side.get(word, word)}
        for name, word in zip(names, words, strict=False)
    ]


def write(store: Store, lines: list[dict[str, Any]], name: str = "v") -> Store:
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    store.write(f"{layout.VERDICTS}/{name}.jsonl", text.encode())
    return store


@pytest.mark.parametrize(
    ("words", "share", "majority"),
    [
        (["good"], 1.0, 1.0),
        (["bad"], 0.0, 0.0),
        (["tie"], 0.5, 0.5),
        (["good", "bad"], 0.5, 0.5),
        (["good", "good", "bad"], 2 / 3, 1.0),
        (["good", "tie", "bad", "bad"], 0.375, 0.0),
        (["skip", "good"], 1.0, 1.0),
    ],
)
def test_votes_become_a_probability(words: list[str], share: float, majority: float, run_store: Store) -> None:
    write(run_store, voted(*words))
    for combine, expected in (("share", share), ("majority", majority)):
        oracle = Human.model_validate({"combine": combine, "annotators": len(words)}).load(run_store)
        there, back = oracle.compare([ASKED, ASKED.swapped()])
        assert there.probability == pytest.approx(expected)
        assert there.forward == there.backward == there.probability
        assert back == there.swapped()


def test_what_everybody_skips_is_an_abstention(local_store: Store) -> None:
    write(local_store, voted("skip", "skip"))
    assert Human(annotators=2).load(local_store).compare([ASKED]) == [ABSTENTION.swapped()]


def test_one_text_is_no_question(local_store: Store) -> None:
    assert Human().load(local_store).compare([Query(ASKED.messages, "same", "same")]) == [EVEN]


def test_a_verdict_holds_in_whichever_order_it_was_shown(local_store: Store) -> None:
    one, other = Shown.both(ASKED, WHICH)
    lines = [
        {"comparison": shown.id, "annotator": name, "verdict": "a" if shown.a == "good" else "b"}
        for shown, name in ((one, "ann"), (other, "bob"))
    ]
    write(local_store, lines)
    for seed in range(4):
        assert Human(annotators=2, seed=seed).load(local_store).compare([ASKED])[0].probability == 1.0


def test_the_order_shown_is_a_coin_of_the_seed() -> None:
    queries = [Query(ASKED.messages, f"{number}", "z") for number in range(100)]
    for seed in (0, 1):
        assert 30 < sum(Shown.of(query, WHICH, seed).a == "z" for query in queries) < 70
        assert [Shown.of(query, WHICH, seed) for query in queries] == [
            Shown.of(query.swapped(), WHICH, seed) for query in queries
        ]
    assert any(Shown.of(query, WHICH, 0) != Shown.of(query, WHICH, 1) for query in queries)


def test_what_lacks_verdicts_is_named_whole(local_store: Store) -> None:
    write(local_store, voted("good"))
    others = [Query(ASKED.messages, text, "bad") for text in ("fine", "poor")]
    with pytest.raises(Unanswered, match="2 comparisons lack a verdict") as caught:
        Human().load(local_store).compare([others[0], ASKED, others[1]])
    assert {query.pair for query in caught.value.questions} == {("bad", "fine"), ("bad", "poor")}
    with pytest.raises(Unanswered):
        Human(annotators=2).load(local_store).compare([ASKED])


def test_votes_and_their_agreement_are_counted(local_store: Store) -> None:
    write(local_store, voted("good", "good", "bad"))
    oracle = Human(annotators=3).load(local_store)
    assert oracle.usage == {"votes": 0, "pairs_of_votes": 0, "agreeing_pairs": 0}
    oracle.compare([ASKED])
    assert oracle.usage == {"votes": 3, "pairs_of_votes": 3, "agreeing_pairs": 1}


def test_another_folder_of_verdicts_is_read_too(tmp_path: Path, local_store: Store) -> None:
    other = open_store(str(tmp_path / "other"))
    write(other, voted("good"))
    settings = Human(verdicts=str(tmp_path / "other" / layout.VERDICTS), annotators=2)
    settings.check()
    write(local_store, voted("", "good")[1:])
    assert settings.load(local_store).compare([ASKED])[0].probability == 1.0
    alone = settings.model_copy(update={"annotators": 1}).load()
    assert alone.compare([ASKED])[0].probability == 1.0


def test_without_any_place_of_verdicts_there_is_no_oracle() -> None:
    with pytest.raises(UserError, match=r"outside of a run, set oracle\.verdicts to a folder"):
        Human().load()


def test_an_empty_folder_of_verdicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"oracle\.verdicts .*none: has no verdicts \(\*\.jsonl\)"):
        Human(verdicts=str(tmp_path / "none")).check()
    Human().check()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("no json", r"v\.jsonl:2: not JSON: "),
        ("[]", r"v\.jsonl:2: .*not \[\]"),
        ('{"comparison": "1", "annotator": "ann", "verdict": "c"}', r"v\.jsonl:2: verdict: .*not 'c'"),
        ('{"comparison": "1", "verdict": "a"}', r"v\.jsonl:2: annotator: required"),
        ('{"comparison": "1", "annotator": "", "verdict": "a"}', r"v\.jsonl:2: annotator: "),
    ],
)
def test_a_line_that_is_no_verdict_is_named(line: str, complaint: str, local_store: Store) -> None:
    local_store.write(f"{layout.VERDICTS}/v.jsonl", f"\n{line}\n".encode())
    with pytest.raises(UserError, match=complaint) as caught:
        Human().load(local_store)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_named(local_store: Store) -> None:
    local_store.write(f"{layout.VERDICTS}/v.jsonl", b"\xff")
    with pytest.raises(UserError, match=r"v\.jsonl: not UTF-8"):
        Human().load(local_store)


def test_a_doubled_verdict_counts_once_and_a_contradiction_is_refused(local_store: Store) -> None:
    write(local_store, voted("good"), "one")
    write(local_store, voted("good"), "two")
    oracle = Human().load(local_store)
    oracle.compare([ASKED])
    assert oracle.usage["votes"] == 1
    write(local_store, voted("bad"), "two")
    with pytest.raises(UserError, match=r"two\.jsonl:1: ann says . of comparison \w+, and . in .*one\.jsonl:1: delete"):
        Human().load(local_store)


def test_another_question_is_another_comparison(local_store: Store) -> None:
    write(local_store, voted("good"))
    with pytest.raises(Unanswered):
        Human(instructions="Which answer is shorter?").load(local_store).compare([ASKED])
