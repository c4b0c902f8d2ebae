"""What the judge's script makes of the comparisons, on a few of them; no model is needed."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.real.judge import BATCH, Comparison, accuracy, batches, of_length, parse, read_comparisons, split


def _comparison(opening: str, chosen: str = "Yes.", rejected: str = "No, no.") -> Comparison:
    return Comparison([{"role": "user", "content": opening}], chosen, rejected)


def test_a_dialogue_becomes_messages() -> None:
    text = "\n\nHuman: A riddle?\n\nOne only.\n\nAssistant: Here: why?\n\nHuman: Assistant: who?\n\nAssistant:"
    assert parse(text) == [
        {"role": "user", "content": "A riddle?\n\nOne only."},
        {"role": "assistant", "content": "Here: why?"},
        {"role": "user", "content": "Assistant: who?"},
        {"role": "assistant", "content": ""},
    ]


def test_comparisons_whose_sides_answer_different_dialogues_are_skipped(tmp_path: Path) -> None:
    def line(chosen: str, rejected: str) -> str:
        return json.dumps({"chosen": chosen, "rejected": rejected})

    lines = [
        line("\n\nHuman: Hi\n\nAssistant: Hello", "\n\nHuman: Hi\n\nAssistant: Go away"),
        line("\n\nHuman: Hi\n\nAssistant: Hello", "\n\nHuman: Ho\n\nAssistant: Hello"),
    ]
    with gzip.open(tmp_path / "few.jsonl.gz", "wt") as file:
        file.write("\n".join(lines))
    assert read_comparisons(tmp_path / "few.jsonl.gz") == [
        Comparison([{"role": "user", "content": "Hi"}], "Hello", "Go away")
    ]


def test_dialogues_that_open_alike_are_on_one_side() -> None:
    comparisons = [_comparison(f"Opening {index % 50}", str(index)) for index in range(200)]
    training, held_out = split(comparisons)
    assert sorted([*training, *held_out], key=lambda each: int(each.chosen)) == comparisons
    openings = [{each.messages[0]["content"] for each in side} for side in (training, held_out)]
    assert not openings[0] & openings[1]
    assert len(openings[1]) == 10
    assert split(comparisons[::-1])[1] == held_out[::-1]
    assert split(comparisons, seed=1)[1] != held_out


def test_a_pass_has_every_example_once_with_others_of_its_length() -> None:
    examples = [[[0] * length, [index]] for index, length in enumerate([3, 9, 5, 7] * 10)]
    plan = list(batches(examples))
    assert sorted(example[1][0] for batch in plan for example in batch) == list(range(40))
    assert sorted(map(len, plan)) == [40 % BATCH, BATCH, BATCH]
    spans = sorted((min(map(len, longer)), max(map(len, longer))) for longer in ([e[0] for e in b] for b in plan))
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_the_baseline_takes_the_longer_answer() -> None:
    longer = [_comparison("a", "12", "1"), _comparison("b", "12", "1"), _comparison("c", "1", "12")]
    figures = of_length([*longer, _comparison("d", "1", "2")])
    assert (figures["accuracy"], figures["n"]) == (2.5 / 4, 4)


def test_the_interval_of_an_accuracy_is_wilsons() -> None:
    figures = accuracy([1.0] * 8 + [0.0] * 2)
    assert (figures["accuracy"], figures["n"]) == (0.8, 10)
    assert (figures["low"], figures["high"]) == pytest.approx((0.4902, 0.9433), abs=1e-4)
