"""AlpacaEval, Arena-Hard and MT-Bench by `nashflow benchmark run`: stored answers, and a judge behind a server."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nashflow.pipelines import cli as command_line
from tests.fixtures.judge_server import serving

pytestmark = pytest.mark.skipif("NASHFLOW_DATA" not in os.environ, reason="NASHFLOW_DATA is not set")
DATA = Path(os.environ.get("NASHFLOW_DATA", "/"))
Benchmark = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Benchmark:
    """`nashflow benchmark run … --json`: what it prints, and what is on stderr."""
    monkeypatch.chdir(tmp_path)

    def call(url: str, *arguments: str, code: int = 0) -> tuple[dict[str, Any], str]:
        Path("judge.yaml").write_text(f"kind: llm_judge\nmodel: org/judge-1\nendpoint: {{url: '{url}', attempts: 2}}\n")
        given = ["run", *arguments, "--judge", "judge.yaml", "-o", "made", "--json"]
        monkeypatch.setattr("sys.argv", ["nashflow", "benchmark", *given])
        with pytest.raises(SystemExit) as caught:
            command_line.main()
        out, err = capsys.readouterr()
        assert caught.value.code == code, err
        return json.loads(out) if out else {}, err

    return call


def longer(body: Mapping[str, Any]) -> str:
    text = body["messages"][-1]["content"]
    first, _, second = text.partition("<|The End of Assistant A's Answer|>")
    return "[[A>B]]" if len(first) > len(second) else "[[B>>A]]"


ARENA = (
    *("arena_hard", "--data", str(DATA / "arena_hard_v0.1"), "--questions", "8"),
    *("--answers", str(DATA / "arena_hard_v0.1/answers_gpt-3.5-turbo-0125.jsonl")),
)


def test_stored_answers_are_judged_and_nothing_is_asked_twice(benchmark: Benchmark) -> None:
    with serving(longer) as server:
        said, _ = benchmark(server.url, *ARENA)
        assert server.calls == 2 * 16, "a constant answer is judged as well"
        again, _ = benchmark(server.url, *ARENA)
        assert (again["figures"], server.calls) == (said["figures"], 2 * 16)
    figures = {
        name.removeprefix("arena_hard-8/").removesuffix("/judge-1"): each for name, each in said["figures"].items()
    }
    assert figures["wins"] + figures["losses"] == 16
    assert figures["score_low"] < figures["score"] < figures["score_high"]


def test_prose_is_one_line_that_shows_it(benchmark: Benchmark) -> None:
    with serving(lambda body: "I would rather not choose.") as server:
        _, said = benchmark(server.url, *ARENA, code=2)
    assert said.splitlines()[-1].startswith(
        "nashflow: benchmark arena_hard-8: none of 16 judgments has a verdict: 16 unparsed"
    )
    assert "I would rather not choose." in said.splitlines()[-1]


@pytest.mark.skipif("NASHFLOW_MODELS" not in os.environ, reason="NASHFLOW_MODELS is not set")
def test_a_model_answers_both_turns_and_is_graded(benchmark: Benchmark) -> None:
    with serving(lambda body: "Rating: [[7]]") as server:
        said, _ = benchmark(
            *(server.url, "mt_bench", "--data", str(DATA / "mt_bench"), "--questions", "4"),
            *(
                "--model",
                str(Path(os.environ["NASHFLOW_MODELS"], "tiny-llama-7m-chat")),
                "--set",
                "benchmark.max_new_tokens=2",
            ),
        )
        assert server.calls == 2 * 8
    assert said["figures"]["mt_bench-4/score/judge-1"] == 7.0
    assert said["figures"]["mt_bench-4/answers"] == 4


def test_a_judge_without_log_probabilities_is_one_line(benchmark: Benchmark) -> None:
    with serving(lambda body: "m") as server:
        _, said = benchmark(
            *(server.url, "alpaca_eval", "--data", str(DATA / "alpaca_eval"), "--questions", "2"),
            *("--answers", str(DATA / "alpaca_eval/alpaca-7b/model_outputs.json")),
            code=2,
        )
    assert said.splitlines()[-1].startswith("nashflow: benchmark alpaca_eval: its judge, judge-1, gives no log-probab")


def test_an_altered_file_is_named_with_both_digests(benchmark: Benchmark, tmp_path: Path) -> None:
    for path in (DATA / "mt_bench").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes() + b"\n")
    _, said = benchmark("http://127.0.0.1:1", "mt_bench", "--data", str(tmp_path), "--answers", "x", code=2)
    assert "its SHA-256 is" in said.splitlines()[-1]
    assert "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7" in said.splitlines()[-1]
