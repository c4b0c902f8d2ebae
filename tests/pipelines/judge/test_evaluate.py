"""`nashflow judge evaluate` and `compare`, as a user has them: known answers, tables, the page, bad input."""

import json
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import response_text
from nashflow.components.games.sandbox.world import make_world
from nashflow.pipelines import cli as command_line
from tests.fixtures.judge_server import serving, shown_answers

MATRIX = make_world(WorldSettings()).matrix


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """`nashflow judge …` in a folder of its own: what it prints, or the one line on stderr if it fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["nashflow", "judge", *arguments])
        with pytest.raises(SystemExit) as caught:
            command_line.main()
        out, err = capsys.readouterr()
        assert caught.value.code == code, err
        if code:
            assert (out, err.count("\n")) == ("", 1)
        return err if code else out

    return call


def write(name: str, value: Any) -> str:
    """A YAML file, or a line of JSON for each of several entries."""
    lines = [json.dumps(each) for each in value] if isinstance(value, list) else [yaml.safe_dump(value)]
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def of_world(triples: int) -> list[dict[str, Any]]:
    """Three answers each in a context of the sandbox world; the first is the right one."""
    draw = np.random.default_rng(0)
    chosen = [draw.choice(25, 3, replace=False).tolist() for _ in range(triples)]
    return [
        {"prompt": f"x{number % 8}", "chosen": [response_text(a)], "rejected": [response_text(b), response_text(c)]}
        | {"subset": ("even", "odd")[number % 2], "drawn": [a, b, c]}
        for number, (a, b, c) in enumerate(chosen)
    ]


def wins(row: dict[str, Any], first: int, second: int) -> bool:
    """Whether an answer beats another by the world's own matrix."""
    return bool(MATRIX[int(row["prompt"][1:]), row["drawn"][first], row["drawn"][second]] > 0.5)


def test_the_worlds_own_judge_is_as_good_as_its_matrix_says(judge: Any) -> None:
    rows = of_world(60)
    said = json.loads(judge("evaluate", write("w.yaml", {"kind": "sandbox"}), write("d.jsonl", rows), "--json"))
    (found,) = said["judges"]
    figures = found["figures"]
    first = [[wins(row, 0, 1), wins(row, 0, 2)] for row in rows]
    by_context = [np.mean([first[at] for at in range(context, 60, 8)]) for context in range(8)]
    assert figures["accuracy"] == pytest.approx(np.mean(by_context))
    assert figures["accuracy_low"] < figures["accuracy"] < figures["accuracy_high"]
    circles = [
        any(all(wins(row, order[i], order[i - 1]) for i in range(3)) for order in permutations(range(3)))
        for row in rows
    ]
    assert figures["cyclic"] == pytest.approx(np.mean(circles))
    assert 0 < figures["cyclic"] < 1
    assert (figures["flips"], figures["shown_first"], figures["abstentions"]) == (0, 0.5, 0)
    assert (figures["pairs"], said["layout"], said["read"]) == (180, "rewardbench2", 60)
    assert sum(each["pairs"] for each in found["curve"]) == 120
    assert [each["name"] for each in found["categories"]] == ["even", "odd"]
    assert found["settings"]["kind"] == "sandbox"


def test_judges_are_compared_on_the_same_pairs(judge: Any) -> None:
    data = write("d.jsonl", of_world(40))
    own, other = (
        write("own.yaml", {"kind": "sandbox"}),
        write("other.yaml", {"oracle": {"kind": "sandbox", "world": {"seed": 5}}}),
    )
    said = json.loads(judge("compare", own, other, "quickstart", data, "--json", "--output", "out"))
    assert [each["judge"] for each in said["judges"]] == ["own", "other", "quickstart"]
    apart = {(each["first"], each["second"]): each for each in said["differences"]}
    assert apart["own", "quickstart"]["accuracy"]["value"] == 0
    assert apart["own", "quickstart"]["kappa"] == 1
    accuracies = [each["figures"]["accuracy"] for each in said["judges"]]
    gap = apart["own", "other"]["accuracy"]
    assert gap["value"] == pytest.approx(accuracies[0] - accuracies[1])
    assert gap["low"] <= gap["value"] <= gap["high"]
    page = Path("out/report.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert f"{gap['value']:+.3f}" in page
    same = json.loads(judge("compare", "quickstart", "quickstart", data, "--json"))["judges"]
    assert [each["judge"] for each in same] == ["1. quickstart", "2. quickstart"]
    assert "http" not in page.replace("http-equiv", "")


def test_the_table_shows_what_the_json_has(judge: Any) -> None:
    own, data = write("own.yaml", {"kind": "sandbox"}), write("d.jsonl", of_world(30))
    figures = json.loads(judge("evaluate", own, data, "--json", "--limit", "5"))["judges"][0]["figures"]
    shown = judge("evaluate", own, data, "--limit", "5")
    assert figures["prompts"] == 5
    row = next(line for line in shown.splitlines() if line.strip().startswith("accuracy [95 %]"))
    assert f"{figures['accuracy']:.3f} [{figures['accuracy_low']:.3f}, {figures['accuracy_high']:.3f}]" in row
    assert "not drawn" in shown
    assert "best of all by category [95 %]" in shown
    assert "accuracy: share of the labels that it decides for" in " ".join(shown.split())


def test_a_reward_model_is_measured(judge: Any, folders: Path) -> None:
    rows = [
        {"chosen": f"\n\nHuman: q{n}\n\nAssistant: {'a' * n}", "rejected": f"\n\nHuman: q{n}\n\nAssistant: b"}
        for n in range(1, 5)
    ]
    model = write("rm.yaml", {"kind": "reward_model", "model": "nowhere"})
    data = write("d.jsonl", rows)
    assert "nowhere" in judge("evaluate", model, data, code=2)
    said = json.loads(judge("evaluate", model, data, "--json", "--set", f"oracle.model={folders / 'reward'}"))
    figures = said["judges"][0]["figures"]
    assert (figures["pairs"], figures["flips"], figures["self_consistency"]) == (4, 0, 1)
    assert 0 <= figures["accuracy"] <= 1
    assert figures["accuracy_longer"] == (0.5 + 3) / 4


def words(count: int) -> list[dict[str, Any]]:
    """Pairs with the better answer first in the alphabet, of which every fourth is labelled the other way."""
    texts = [(f"a{number}", f"b{number}") for number in range(count)]
    return [
        {"prompt": f"question {number}", "chosen": pair[number % 4 == 0], "rejected": pair[number % 4 != 0]}
        for number, pair in enumerate(texts)
    ]


def llm(url: str, **changes: Any) -> str:
    return write("llm.yaml", {"kind": "llm_judge", "model": "m", "endpoint": {"url": url}, **changes})


def test_a_judge_behind_a_server_is_measured_and_asked_once(judge: Any) -> None:
    data = write("d.jsonl", words(8))
    with serving() as server:
        for calls in (16, 0):
            (found,) = json.loads(judge("evaluate", llm(server.url), data, "--json"))["judges"]
            assert (found["figures"]["accuracy"], found["figures"]["flips"]) == (6 / 8, 0)
            assert (found["usage"]["calls"], found["usage"]["cached"]) == (calls, 16 - calls)
        assert server.calls == 16
        shown = judge("evaluate", llm(server.url), data).splitlines()
        assert [line.split() for line in shown if line.split()[:1] == ["cached"]] == [["cached", "16"]]


def test_a_judge_that_says_a_or_nothing(judge: Any) -> None:
    data = write("d.jsonl", words(8))
    with serving(lambda body: "[[A]]" if "question 7" not in body["messages"][-1]["content"] else "Hm.") as server:
        (found,) = json.loads(judge("evaluate", llm(server.url), data, "--json"))["judges"]
    figures = found["figures"]
    assert (figures["flips"], figures["shown_first"], figures["accuracy"]) == (1, 1, 0.5)
    assert (figures["abstentions"], found["usage"]["unparsed"]) == (1 / 8, 2)


def test_a_judge_that_samples_is_asked_again_with_another_seed(judge: Any) -> None:
    """With the other seed, it decides the other way about one question of eight."""

    def sampled(body: Mapping[str, Any]) -> str:
        first, second = shown_answers(body)
        turned = "seed" in body and "question 3" in body["messages"][-1]["content"]
        return f"[[{'A' if (first < second) != turned else 'B'}]]"

    with serving(sampled) as server:
        oracle = llm(server.url, request={"temperature": 1})
        (found,) = json.loads(judge("evaluate", oracle, write("d.jsonl", words(8)), "--json"))["judges"]
    assert (found["figures"]["self_consistency"], found["figures"]["accuracy"]) == (7 / 8, 6 / 8)
    assert found["usage"]["calls"] == 32


def test_a_server_that_fails_is_one_line_and_the_command_goes_on_from_there(judge: Any) -> None:
    data = write("d.jsonl", words(4))
    endpoint = {"attempts": 1, "concurrency": 1}
    with serving(faults=("", "", "500")) as server:
        oracle = write("llm.yaml", {"kind": "llm_judge", "model": "m", "endpoint": {"url": server.url, **endpoint}})
        judge("evaluate", oracle, data, code=75)
        asked = server.calls
        assert asked < 8
    with serving() as server:
        oracle = write("llm.yaml", {"kind": "llm_judge", "model": "m", "endpoint": {"url": server.url, **endpoint}})
        (found,) = json.loads(judge("evaluate", oracle, data, "--json"))["judges"]
        assert server.calls == 8 - (asked - 1)
    assert found["usage"]["cached"] == asked - 1


@pytest.mark.parametrize(
    ("oracle", "entry", "line"),
    [
        (
            {"kind": "sandbox"},
            {"prompt": "Why?", "chosen": "a", "rejected": "b"},
            "d.jsonl: line 1: no prompt of the sand",
        ),
        (
            {"kind": "sandbox"},
            {"question": "q", "response_A": "a", "response_B": "b"},
            "the nearest layout, judgebench",
        ),
        ({"kind": "sandbox"}, {"prompt": "x0", "response": "a"}, "the nearest layout, "),
        ({"name": "x"}, {"prompt": "x0"}, "o.yaml: no oracle: give a recipe, or a file with the section oracle"),
        ({"kind": "sandbx"}, {"prompt": "x0"}, "o.yaml: oracle.kind: 'sandbx' is unknown; did you mean sandbox?"),
        (
            {"kind": "sandbox", "wrld": {}},
            {"prompt": "x0"},
            "o.yaml: oracle.wrld: unknown key; did you mean oracle.world?",
        ),
    ],
)
def test_bad_input_is_one_line(judge: Any, oracle: dict[str, Any], entry: dict[str, Any], line: str) -> None:
    assert line in judge("evaluate", write("o.yaml", oracle), write("d.jsonl", [entry]), code=2)
    assert {path.name for path in Path().iterdir()} == {"o.yaml", "d.jsonl"}


def test_options_that_would_do_nothing_are_refused(judge: Any) -> None:
    own, data = write("own.yaml", {"kind": "sandbox"}), write("d.jsonl", of_world(2))
    line = judge("evaluate", own, data, "--set", "training.epochs=1", code=2)
    assert "--set training.epochs=1: of own.yaml, the oracle alone is read: give oracle.key=value" in line
    assert "d.jsonl: is a file: give a folder" in judge("evaluate", own, data, "--output", data, code=2)
    assert "nowhere.jsonl: no such file" in judge("evaluate", own, "nowhere.jsonl", code=2)
