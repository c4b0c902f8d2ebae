"""Labelled pairs: what is trained on, and what is held out."""

import json
from pathlib import Path
from typing import Any

from nashflow.components.oracles.fitted.fitting import Pair
from nashflow.components.oracles.fitted.labelled import opening, read_labelled
from nashflow.components.prompts.settings import PromptSource


def write(path: Path, entries: list[dict[str, Any]]) -> PromptSource:
    path.write_text("\n".join(map(json.dumps, entries)))
    return PromptSource(path=str(path))


def entry(number: int, turns: int) -> dict[str, Any]:
    """A pair whose dialogue opens as that of every tenth pair."""
    said = [f"opening {number % 10}", *(f"turn {number}.{turn}" for turn in range(turns))]
    prompt = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
    return {"prompt": prompt, "chosen": f"good {number}", "rejected": f"bad {number}"}


def test_dialogues_that_open_alike_are_on_one_side_whatever_the_order_of_the_entries(tmp_path: Path) -> None:
    entries = [entry(number, 2 * (number % 3)) for number in range(60)]
    found = read_labelled(write(tmp_path / "a.jsonl", entries), 0.3, 0)
    sides = [{opening(pair) for pair in part} for part in (found.training, found.held_out)]
    assert not sides[0] & sides[1]
    assert (len(sides[0]), len(sides[1])) == (7, 3)
    assert len(found.training) + len(found.held_out) == 60
    assert all(pair.chosen.startswith("good") and pair.rejected.startswith("bad") for pair in found.training)
    turned = read_labelled(write(tmp_path / "b.jsonl", entries[::-1]), 0.3, 0)
    assert {pair.chosen for pair in turned.held_out} == {pair.chosen for pair in found.held_out}
    other = read_labelled(write(tmp_path / "a.jsonl", entries), 0.3, 1)
    assert {opening(pair) for pair in other.held_out} != sides[1]
    assert found.digest != other.digest


def test_ties_are_left_out(tmp_path: Path) -> None:
    votes = ["model_a", "model_b", "tie", "model_b", "model_a"]
    source = write(
        tmp_path / "votes.jsonl",
        [
            {
                **{f"conversation_{side}": _dialogue(number, f"{side} {number}") for side in "ab"},
                "winner": vote,
                "model_a": "x",
                "model_b": "y",
            }
            for number, vote in enumerate(votes)
        ],
    )
    found = read_labelled(source, 0.5, 0)
    pairs = [*found.training, *found.held_out]
    assert sorted((pair.chosen, pair.rejected) for pair in pairs) == [
        ("a 0", "b 0"),
        ("a 4", "b 4"),
        ("b 1", "a 1"),
        ("b 3", "a 3"),
    ]


def _dialogue(number: int, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"ask {number}"}, {"role": "assistant", "content": answer}]


def test_a_pair_is_shortened_by_its_earliest_messages() -> None:
    roles = ("system", "user", "assistant", "user", "assistant", "user")
    messages = [{"role": role, "content": str(at)} for at, role in enumerate(roles)]
    shorter = [[each["content"] for each in pair.messages] for pair in Pair(messages, "x", "y").shorter()]  # type: ignore[arg-type]
    assert shorter == [list("012345"), list("0345"), list("05")]
