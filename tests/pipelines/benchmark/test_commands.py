"""`nashflow benchmark`, as a user has it: a model measured by itself, what is listed, what is fetched, bad input."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.benchmarks.data import DataFile
from nashflow.components.benchmarks.versus import Versus
from nashflow.components.core.digests import sha256_bytes
from nashflow.pipelines import cli as command_line
from tests.fixtures import toy_benchmark
from tests.fixtures.runs import SandboxRun
from tests.fixtures.third_party import install, nashflow

DIALOGUES = [
    {"messages": [{"role": "user", "content": f"x{context}"}, {"role": "assistant", "content": "a b"}]}
    for context in range(8)
]
SETS = ("--set", "benchmark.max_new_tokens=3")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """`nashflow benchmark …` in a folder of its own: what it prints, or the one line on stderr if it fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("judge.yaml").write_text("kind: sandbox\n")
    Path("prompts.jsonl").write_text("".join(json.dumps(each) + "\n" for each in DIALOGUES))

    def call(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["nashflow", "benchmark", *arguments])
        with pytest.raises(SystemExit) as caught:
            command_line.main()
        out, err = capsys.readouterr()
        assert caught.value.code == code, err
        if code:
            assert (out, err.count("\n")) == ("", 1), err
        return err.removeprefix("nashflow: ").removesuffix("\n") if code else out

    return call


@pytest.fixture
def model(prepared_root: SandboxRun) -> str:
    return str(prepared_root.folder("000/main"))


def run(*more: str) -> tuple[str, ...]:
    return ("run", "versus", "--judge", "judge.yaml", "--data", "prompts.jsonl", "-o", "made", *more)


def test_a_model_is_measured_by_itself(benchmark: Any, model: str) -> None:
    printed = benchmark(*run("--model", model, *SETS))
    said = json.loads(Path("made/scores.json").read_text())
    assert said["benchmark"] == "versus"
    assert said["figures"]["versus/answers"] == 8
    share = said["figures"]["versus/win_rate/sandbox"]
    low, high = (said["figures"][f"versus/win_rate_{end}/sandbox"] for end in ("low", "high"))
    assert 0 <= low < share < high <= 1
    assert f"{share:.3f}" in printed
    assert f"{low:.3f} to {high:.3f}" in printed
    rows = [json.loads(line) for line in Path("made/judgments.jsonl").read_text().splitlines()]
    assert len(rows) == 16
    assert sum(row["probability"] for row in rows) / 16 == pytest.approx(share)
    assert "<h3>Examples to read</h3>" in Path("made/report.html").read_text()
    (reported,) = json.loads(Path("made/report.json").read_text())["benchmarks"]
    assert reported["figures"]["versus/win_rate/sandbox"] == share
    assert reported["canary"]["won"] is False
    again = benchmark(*run("--model", model, *SETS))
    assert again == printed
    assert sum(1 for _ in Path("made/run").rglob("*.manifest.json")) == 5


def test_two_models_are_compared_by_the_answers_of_one(benchmark: Any, model: str) -> None:
    benchmark(*run("--model", model, *SETS))
    Path("made/answers.jsonl").rename("first.jsonl")
    arguments = ("run", "head_to_head", "--judge", "judge.yaml", "--data", "first.jsonl", "-o", "other", "--json")
    same = json.loads(benchmark(*arguments, "--model", model, *SETS))["figures"]
    assert (same["versus/win_rate/sandbox"], same["versus/ties/sandbox"]) == (0.5, 8), "the same policy and seeds"
    other = json.loads(benchmark(*arguments, "--model", model, *SETS, "--set", "run.seed=1"))["figures"]
    assert other["versus/ties/sandbox"] < 8


def test_two_models_are_compared_question_by_question(benchmark: Any) -> None:
    for name, texts in {"one": ("a b", "b c"), "other": ("c d", "b c")}.items():
        rows = [{"question": str(number), "turns": [texts[number % 2]]} for number in range(8)]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        measured = ("run", "versus", "--judge", "judge.yaml", "--data", "prompts.jsonl", "-o", name)
        benchmark(*measured, "--answers", f"{name}.jsonl")
    found = json.loads(benchmark("compare", "one", "other", "--json"))["figures"]["win_rate"]
    assert found["difference"]["value"] == pytest.approx(found["values"][0] - found["values"][1])
    assert found["difference"]["low"] < found["difference"]["value"] < found["difference"]["high"]
    printed = benchmark("compare", "one", "other")
    assert f"{found['difference']['value']:.3f} [" in printed
    turned = json.loads(benchmark("compare", "other", "one", "--json"))["figures"]["win_rate"]["difference"]
    assert turned["value"] == pytest.approx(-found["difference"]["value"])
    Path("judge.yaml").write_text("kind: sandbox\nworld: {seed: 5}\n")
    benchmark(
        "run", "versus", "--judge", "judge.yaml", "--data", "prompts.jsonl", "-o", "third", "--answers", "one.jsonl"
    )
    assert "one and third were not measured alike: judge ['sandbox-" in benchmark("compare", "one", "third", code=2)
    assert benchmark("compare", "one", "nowhere", code=2).endswith(
        "give a folder that nashflow benchmark run has made, of a benchmark of questions"
    )


def test_answers_of_a_file_are_judged(benchmark: Any) -> None:
    rows = [{"question": str(number), "turns": ["a b"]} for number in range(8)]
    Path("answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = json.loads(benchmark(*run("--answers", "answers.jsonl", "--json")))
    assert said["figures"]["versus/win_rate/sandbox"] == 0.5
    assert said["model"] == "answers.jsonl"


BAD = [
    (("run", "verses", "-o", "x"), "benchmark 'verses': there is none of this name; did you mean versus?"),
    (("run", "kl", "-o", "x"), "benchmark kl: it measures policies of a run by its reference and prompts: name it in "
     "evaluation.benchmarks of a recipe"),
    (run(), "give either --model, a model folder that answers, or --answers, a file of answers"),
    (("run", "versus", "--model", "m", "--data", "prompts.jsonl", "-o", "x"), "benchmark versus: a judge decides its "
     "figures: give --judge ORACLE.yaml"),
    (run("--model", "nowhere"), "model folder nowhere does not exist or is not a folder"),
    (run("--model", "m", "--set", "benchmark.judg=1"), "benchmark versus: benchmark.judg: unknown key; did you mean "
     "benchmark.judge?"),
    (("fetch", "versus", "--data", "x"), "benchmark versus: none of its files is online (files: none): put them into a "
     "folder yourself"),
    (("fetch", "kl", "--data", "x"), "benchmark kl: it has no files of its own"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), BAD)
def test_bad_input_gets_one_line(arguments: tuple[str, ...], said: str, benchmark: Any) -> None:
    assert benchmark(*arguments, code=2) == said
    assert not Path("made").exists()


def test_people_judge_in_runs_alone(benchmark: Any) -> None:
    Path("answers.jsonl").write_text("".join(f'{{"question": "{n}", "turns": ["b a"]}}\n' for n in range(8)))
    Path("judge.yaml").write_text("kind: human\n")
    assert benchmark(*run("--answers", "answers.jsonl"), code=2) == (
        "benchmark versus: people have to judge first, whom runs alone wait for: name the benchmark in "
        "evaluation.benchmarks of a recipe, or give another judge"
    )


def test_a_missing_file_is_named(benchmark: Any, model: str) -> None:
    Path("prompts.jsonl").unlink()
    assert benchmark(*run("--model", model), code=2) == (
        "benchmark versus: data is 'prompts.jsonl', which is no file: set it to a file of prompts with answers, such "
        "as another model's answers.jsonl"
    )


def test_every_benchmark_is_listed(benchmark: Any) -> None:
    listed = {each["name"]: each for each in json.loads(benchmark("list", "--json"))}
    assert {"head_to_head", "game", "kl", "versus"} <= listed.keys()
    assert listed["versus"]["figures"][0] == "win_rate"
    assert "a judge, asked 2 times an answer at most" in listed["versus"]["needs"]
    assert "versus: Win rate against answers" in benchmark("list")


# --- fetched ---------------------------------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def online(tmp_path: Path) -> Iterator[str]:
    """The address of a folder with a file."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "lines.jsonl").write_bytes(b"{}\n")
    handler = partial(_Quiet, directory=str(tmp_path / "served"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_files_are_fetched_by_their_digests(benchmark: Any, online: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right, source = sha256_bytes(b"{}\n"), f"{online}/lines.jsonl"
    monkeypatch.setattr(Versus, "files", (DataFile("lines.jsonl", "lines", right, source),))
    assert "lines.jsonl: lines" in benchmark("fetch", "versus", "--data", "data")
    assert Path("data/lines.jsonl").read_bytes() == b"{}\n"
    assert "is there" in benchmark("fetch", "versus", "--data", "data")
    monkeypatch.setattr(Versus, "files", (DataFile("lines.jsonl", "lines", "0" * 64, source),))
    assert benchmark("fetch", "versus", "--data", "data", code=2) == (
        f"data/lines.jsonl: is there, and its SHA-256 is {right}, not {'0' * 64}: it is not the lines: give another "
        "folder, or remove it"
    )
    assert benchmark("fetch", "versus", "--data", "other", code=2).startswith(
        f"{source}: its SHA-256 is {right}, not {'0' * 64}: it is not the lines that the benchmark is defined by"
    )
    assert Path("data/lines.jsonl").read_bytes() == b"{}\n"
    assert list(Path("other").iterdir()) == []
    monkeypatch.setattr(Versus, "files", (DataFile("lines.jsonl", "lines", right, f"{online}/gone"),))
    Path("data/lines.jsonl").unlink()
    assert "404" in benchmark("fetch", "versus", "--data", "data", code=75)
    assert list(Path("data").iterdir()) == []


# --- third parties ---------------------------------------------------------------------------------------------------


def test_a_benchmark_of_a_third_party_is_run(tmp_path: Path) -> None:
    """It asks the sandbox's questions, and answers come from a file."""
    packages = install(tmp_path / "packages", Path(toy_benchmark.__file__).read_text(), benchmarks="Letters")
    data = toy_benchmark.written(tmp_path / "data")
    rows = [{"question": each["id"], "turns": ["a b"]} for each in toy_benchmark.QUESTIONS]
    (packages / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (packages / "judge.yaml").write_text("kind: sandbox\n")
    done = nashflow(
        *(packages, "benchmark", "run", "letters", "--data", data, "--judge", "judge.yaml"),
        *("--answers", "answers.jsonl", "-o", "made", "--json"),
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["figures"]["letters/win_rate/sandbox"] == 0.5
    assert [row["category"] for row in made["categories"]] == ["even", "odd"]
    assert made["categories"][0]["low"] is None
