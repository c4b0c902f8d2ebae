"""`nashflow benchmark score`: the benchmarks' own files, and one line for each that is none."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.pipelines.benchmark.score import print_scores

Rows = list[dict[str, Any]]


def scored(capsys: pytest.CaptureFixture[str], name: str, judgments: Path, **files: Path) -> dict[str, Any]:
    given = {**dict.fromkeys(("outputs", "baseline", "data")), **files}
    print_scores(name, judgments, **given, as_json=True)  # type: ignore[arg-type]
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def lines(path: Path, rows: Rows) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def listed(path: Path, rows: Rows) -> Path:
    path.write_text(json.dumps(rows))
    return path


def annotations(count: int = 20, **changes: Any) -> Rows:
    return [
        {
            "dataset": "koala" if number % 2 else "oasst",
            "instruction": f"instruction {number}",
            "output_1": "b" * (10 + number),
            "generator_1": "gpt4_1106_preview",
            "output_2": "a" * (5 + 3 * number),
            "generator_2": "mine",
            "annotator": "weighted",
            "preference": 1 + ((number * 7 % count) / count) ** 3,
            **changes,
        }
        for number in range(count)
    ]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A folder of AlpacaEval's data for twenty instructions."""
    folder = tmp_path / "data"
    folder.mkdir()
    listed(
        folder / "baseline_outputs.json",
        [
            {"instruction": row["instruction"], "output": row["output_1"], "generator": row["generator_1"]}
            for row in annotations()
        ],
    )
    difficulty = [math.sin(number) for number in range(20)]
    (folder / "instruction_difficulty.csv").write_text(
        ",instruction_difficulty\n" + "".join(f"{number},{value}\n" for number, value in enumerate(difficulty))
    )
    gamed = [
        f"{value},{number},{0.4 + 0.01 * number + 0.1 * other},{1.5 * other - 1},False,gamed{other}\n"
        for other in (0, 1)
        for number, value in enumerate(difficulty)
    ]
    heading = "instruction_difficulty,index,preference,std_delta_len,not_gamed_baseline,model\n"
    (folder / "df_gamed.csv").write_text(heading + "".join(gamed))
    return folder


def test_annotations_are_scored_with_their_categories(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = annotations()
    rows[3]["preference"] = rows[5]["output_2"] = None
    del rows[4]["preference"]
    found = scored(capsys, "alpaca_eval", listed(tmp_path / "annotations.json", rows))
    told = [found[name] for name in ("benchmark", "judge", "model", "baseline")]
    assert told == ["alpaca_eval", "weighted", "mine", "gpt4_1106_preview"]
    figures = found["figures"]
    assert (figures["n_total"], figures["no_preference"], figures["avg_length"]) == (18, 2, 32)
    values = [row["preference"] for row in rows if row.get("preference")]
    assert figures["win_rate"] == pytest.approx(100 * (sum(values) / 18 - 1))
    assert {name: each["n_total"] for name, each in found["categories"].items()} == {"koala": 9, "oasst": 9}
    assert "length_controlled_winrate" not in figures
    assert found["notes"] == ["no length-controlled win rate: there is no --data"]


def test_with_the_tables_lengths_are_controlled_whatever_the_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tables: Path
) -> None:
    straight = scored(capsys, "alpaca_eval", listed(tmp_path / "a.json", annotations()), data=tables)["figures"]
    turned = scored(capsys, "alpaca_eval", listed(tmp_path / "b.json", annotations()[::-1]), data=tables)["figures"]
    assert 0 < straight["length_controlled_winrate"] < 100
    assert straight["lc_low"] < straight["lc_high"]
    assert turned["length_controlled_winrate"] == pytest.approx(straight["length_controlled_winrate"], abs=0.5)


def test_the_baseline_itself_has_50_by_definition(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tables: Path
) -> None:
    same = listed(tmp_path / "a.json", annotations(generator_2="gpt4_1106_preview"))
    figures = scored(capsys, "alpaca_eval", same, data=tables)["figures"]
    assert (figures["length_controlled_winrate"], figures["lc_standard_error"]) == (50.0, 0.0)


def arena(count: int = 6, **changes: Any) -> Rows:
    """Judgments as version 0.1 has written them first."""
    labels = ["A>>B", "B>A", "A=B", "B>>A", None, "A>B"]
    return [
        {
            "question_id": f"q{number}",
            "model": "mine",
            "judge": "gpt-4-1106-preview",
            "games": [
                {"user_prompt": "", "judgment": "", "score": labels[number % 6]},
                {"user_prompt": "", "judgment": "", "score": labels[(number + 1) % 6]},
            ],
            **changes,
        }
        for number in range(count)
    ]


def arena_v2(count: int = 12) -> Rows:
    return [
        {
            **{name: row[name] for name in ("model", "judge", "games")},
            "uid": row["question_id"],
            "baseline": "o3-mini-2025-01-31",
            "category": "hard_prompt" if number % 3 else "creative_writing",
        }
        for number, row in enumerate(arena(count))
    ]


def answers(model: str, size: int, *, counted: bool, count: int = 12) -> Rows:
    markup = {"header_count": {"h1": 1}, "list_count": {"ordered": 2}, "bold_count": {"**": 0}}
    return [
        {
            "uid": f"q{number}",
            "model": model,
            "messages": [
                {"role": "user", "content": "?"},
                {"role": "assistant", "content": {"answer": "x" * (size + number * number % 7)}},
            ],
            "metadata": {"token_len": size + number * number % 7, **markup} if counted else {},
        }
        for number in range(count)
    ]


def test_both_versions_of_arena_hard_are_scored(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = scored(capsys, "arena_hard", lines(tmp_path / "old.jsonl", arena()))
    # Games 1, the baseline as A: lost 3, won 1, even, won 3, none, lost 1; games 2, the other way round.
    won, weight = (0 + 1 + 0.5 + 3 + 0) + (0 + 0.5 + 0 + 1 + 3), 9 + 9
    assert found["figures"]["score"] == pytest.approx(100 * won / weight)
    assert (found["figures"]["no_verdict"], found["baseline"]) == (2, "")
    newer = [{**row, "uid": row.pop("question_id"), "category": "arena-hard-v0.1"} for row in arena()]
    again = scored(capsys, "arena_hard", lines(tmp_path / "new.jsonl", newer))
    assert again["figures"] == found["figures"]
    second = scored(capsys, "arena_hard_v2", lines(tmp_path / "v2.jsonl", arena_v2()))
    assert second["figures"] == second["categories"]["hard_prompt"]
    assert set(second["categories"]) == {"hard_prompt", "creative_writing"}
    assert second["notes"] == ["no style control: give the answers by --outputs and --baseline"]


@pytest.mark.parametrize("counted", [True, False])
def test_style_is_controlled_with_both_answers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, counted: bool
) -> None:
    files = {
        "outputs": lines(tmp_path / "mine.jsonl", answers("mine", 100, counted=counted)),
        "baseline": lines(tmp_path / "base.jsonl", answers("o3-mini-2025-01-31", 80, counted=True)),
    }
    found = scored(capsys, "arena_hard_v2", lines(tmp_path / "v2.jsonl", arena_v2()), **files)
    assert 0 <= found["figures"]["style_controlled"] <= 100
    assert len(found["notes"]) == (0 if counted else 1)


def test_style_control_takes_the_answers_that_were_judged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = arena_v2()
    for row in rows:
        row["baseline"] = "o3-mini-2025-01-31" if row["category"] == "hard_prompt" else "gemini-2.0-flash-001"
    judgments = lines(tmp_path / "v2.jsonl", rows)
    mine = lines(tmp_path / "mine.jsonl", answers("mine", 100, counted=True))
    base = lines(tmp_path / "base.jsonl", answers("o3-mini-2025-01-31", 80, counted=True))
    found = scored(capsys, "arena_hard_v2", judgments, outputs=mine, baseline=base)["categories"]
    assert ["style_controlled" in found[name] for name in ("hard_prompt", "creative_writing")] == [True, False]
    said = complaint("arena_hard_v2", judgments, outputs=base, baseline=base)
    assert "has answers of o3-mini-2025-01-31, and those of mine were judged" in said
    assert "has no answer that was judged" in complaint("arena_hard_v2", judgments, outputs=mine, baseline=mine)
    few = lines(tmp_path / "few.jsonl", answers("mine", 100, counted=True, count=11))
    assert "that it has no answer to: 1, such as q11" in complaint(
        "arena_hard_v2", judgments, outputs=few, baseline=base
    )


def ratings(count: int = 4, **changes: Any) -> Rows:
    return [
        {
            "question_id": 81 + number,
            "model": "mine",
            "judge": ["gpt-4", "single-v1"],
            "judgment": f"Rating: [[{number + turn}]]",
            "score": number + turn,
            "turn": turn,
            **changes,
        }
        for turn in (1, 2)
        for number in range(count)
    ]


def test_ratings_are_averaged_by_turn_and_category(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = ratings()
    rows[0]["score"] = -1
    del rows[1]["score"]
    questions = [{"question_id": 81 + number, "category": "math" if number else "stem"} for number in range(4)]
    lines(tmp_path / "question.jsonl", questions)
    found = scored(capsys, "mt_bench", lines(tmp_path / "j.jsonl", rows), data=tmp_path)
    assert (found["judge"], found["figures"]["score"]) == ("gpt-4", pytest.approx((2 + 3 + 4 + 2 + 3 + 4 + 5) / 7))
    assert found["figures"]["no_rating"] == 1
    assert found["categories"]["stem"]["score"] == 2.0


def test_the_table_says_what_and_who(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    print_scores("mt_bench", lines(tmp_path / "j.jsonl", ratings()), None, None, None, False)
    said = capsys.readouterr().out
    assert "mt_bench: mine, judged by gpt-4" in said
    assert "3.00" in said


def complaint(name: str, judgments: Path, **files: Path) -> str:
    given = {**dict.fromkeys(("outputs", "baseline", "data")), **files}
    with pytest.raises(UserError) as caught:
        print_scores(name, judgments, **given, as_json=True)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_benchmark_names_the_known_ones(tmp_path: Path) -> None:
    assert "did you mean alpaca_eval?" in complaint("alpaca", tmp_path)


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("alpaca_eval", annotations(preference=None), "none of 20 preferences is one"),
        ("alpaca_eval", annotations(preference="model"), "entry 1: preference is 'model': a number"),
        (
            "alpaca_eval",
            [*annotations(), *annotations(1)],
            "instructions that are there more than once: 1, the first: 'i",
        ),
        ("alpaca_eval", annotations(generator_1="text_davinci_003"), "version 1 of the benchmark"),
        ("alpaca_eval", arena(), "is no annotation of AlpacaEval"),
        (
            "alpaca_eval",
            [*annotations(2), *annotations(4, generator_2="other")[2:]],
            "several models (mine, other): give",
        ),
        ("alpaca_eval", [{"preference": 1.2}], "entry 1: instruction is missing; there are preference"),
        ("arena_hard", arena_v2(), "creative_writing is a category of version 2: score it as arena_hard_v2"),
        ("arena_hard_v2", arena(), "is the category of version 0.1: score it as arena_hard"),
        ("arena_hard", [*arena(), *arena(1)], "questions that are there more than once: 1, the first: 'q0'"),
        ("arena_hard", arena(games=[None, None]), "none of 12 games has a verdict"),
        ("arena_hard", arena(games=[]), "is no judgment of Arena-Hard"),
        ("arena_hard", annotations(), "entry 1: games is missing"),
        ("mt_bench", [{"g1_winner": "tie"}], "is a judgment of a pair: give the file of single grading"),
        ("mt_bench", ratings(score=-1), "none of 8 judgments names a rating"),
        ("mt_bench", ratings()[:-1], "of the 8 questions in .*j.jsonl, it lacks 1, the first: 'question 84, turn 2'"),
        (
            "mt_bench",
            [*ratings(), ratings()[0]],
            "answers that are there more than once: 1, the first: 'question 81, turn 1'",
        ),
        ("mt_bench", ratings(turn=3), "turn is 3"),
        ("mt_bench", arena(), "entry 1: turn is missing"),
    ],
)
def test_a_wrong_file_gets_one_line(name: str, rows: Rows, said: str, tmp_path: Path) -> None:
    found = complaint(name, lines(tmp_path / "j.jsonl", rows))
    assert re.search(said if ".*" in said else re.escape(said), found), found


def test_missing_and_other_questions_are_told_apart(tmp_path: Path, tables: Path) -> None:
    few = listed(tmp_path / "a.json", annotations()[2:])
    assert re_found(r"a\.json: of the 20 questions in .*json, it lacks 2, the first: 'instruction 0'", few, tables)
    others = listed(tmp_path / "b.json", [*annotations(), {**annotations(1)[0], "instruction": "new"}])
    assert re_found(r"questions that .* lacks: 1, the first: 'new'; the two are of unlike versions", others, tables)
    changed = listed(tmp_path / "c.json", [*annotations()[:-1], {**annotations()[-1], "output_1": "x"}])
    said = complaint("alpaca_eval", changed, baseline=tables / "baseline_outputs.json")
    assert re.search("questions to which it judges another answer than .* has: 1, the first: 'instruction 19'", said)


def test_answers_that_lack_a_question_or_double_it_are_named(tmp_path: Path) -> None:
    rows = annotations()
    outputs = [{"instruction": row["instruction"], "output": row["output_2"]} for row in rows]
    judgments = listed(tmp_path / "a.json", rows)
    lacking = complaint("alpaca_eval", judgments, outputs=listed(tmp_path / "o.json", outputs[1:]))
    assert lacking.endswith("o.json: judged instructions that it has no answer to: 1, such as 'instruction 0'")
    doubled = complaint("alpaca_eval", judgments, outputs=listed(tmp_path / "o.json", [*outputs, outputs[0]]))
    assert doubled.endswith("o.json: instructions that are there more than once: 1, the first: 'instruction 0'")


def test_of_a_file_with_several_models_the_answers_tell_which_is_meant(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    judgments = lines(tmp_path / "gpt-4_single.jsonl", [*ratings(), *ratings(model="other", score=9)])
    assert "several models (mine, other): give those of one" in complaint("mt_bench", judgments)
    outputs = lines(
        tmp_path / "o.jsonl", [{"question_id": 81, "model_id": "other", "choices": [{"turns": ["a", "b"]}]}]
    )
    found = scored(capsys, "mt_bench", judgments, outputs=outputs)
    assert (found["model"], found["figures"]["score"], found["figures"]["avg_length"]) == ("other", 9.0, 1.0)
    third = lines(tmp_path / "t.jsonl", [{"question_id": 81, "model_id": "third", "choices": [{"turns": ["a", "b"]}]}])
    assert "has no judgment of third" in complaint("mt_bench", judgments, outputs=third)


def re_found(said: str, judgments: Path, data: Path) -> bool:
    return bool(re.search(said, complaint("alpaca_eval", judgments, data=data)))


def test_altered_tables_are_refused(tmp_path: Path, tables: Path) -> None:
    good = listed(tmp_path / "a.json", annotations())
    table = tables / "instruction_difficulty.csv"
    table.write_text(table.read_text().rpartition("19,")[0])
    assert "about 19 instructions, and there are 20" in complaint("alpaca_eval", good, data=tables)
    table.write_text("index,hardness\n")
    assert "column instruction_difficulty is missing; there are index, hardness" in complaint(
        "alpaca_eval", good, data=tables
    )


def test_what_is_no_file_of_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    for text, said in [
        ("", "is empty"),
        ("[]", "is empty"),
        ("{]", "line 1: not JSON"),
        ("[1]", "entry 1 is no object"),
        ("7\n", "entry 1 is no object"),
        ("[{]", "not JSON"),
    ]:
        path.write_text(text)
        assert said in complaint("mt_bench", path)
    path.write_bytes(b"\xff\xfe{}")
    assert "not UTF-8" in complaint("mt_bench", path)
    assert "there is no such file" in complaint("mt_bench", tmp_path / "none.jsonl")
    assert "there is no such folder" in complaint("mt_bench", path, data=tmp_path / "nowhere")
