"""Third parties add variants without touching our files: one class, and an entry point that names it."""

import json
from pathlib import Path

import pytest

from tests.fixtures.third_party import install, nashflow

ORACLE = '''
from typing import Literal
from nashflow.components.oracles.base import Oracle, Verdict
from nashflow.components.oracles.oracle_settings import OracleSettings
from nashflow.components.oracles.sandbox.settings import SandboxOracle


class Alphabetical(SandboxOracle):
    """The text that comes first in the alphabet is better, nearly always."""

    kind: Literal["alphabetical"] = "alphabetical"

    def digest(self):
        return "alphabetical"

    def load(self, store=None):
        class Judge(Oracle):
            def judge(self, queries):
                return [Verdict.of(0.9, 0.9) for _ in queries]  # they come in the order of their texts

        return Judge()
'''

BENCHMARK = '''
from typing import Literal
from nashflow.components.benchmarks.base import Benchmark, Figure, Measured


class FirstLetters(Benchmark):
    """How many first letters the policy's responses have."""

    kind: Literal["first_letters"] = "first_letters"
    figures = (Figure("first_letters", "letters", better="higher", digits=0),)
    reads = ("responses",)
    runtime = "vllm"

    def depends_on(self, bench):
        return None

    def measure(self, bench):
        return Measured({"first_letters": len({row["text"][:1] for row in bench.responses["responses"]})})
'''

SAMPLER = '''
from nashflow.components.sampling.engines import Transformers
from typing import Literal


class Mine(Transformers):
    """Transformers under another name."""

    kind: Literal["mine"] = "mine"
'''

SMALL = ("run.iterations=1", "prompts.per_iteration=64", "prompts.held_out=16", "training.epochs=1")


@pytest.mark.runs
def test_an_oracle_a_benchmark_and_a_sampler_of_others_take_part_in_a_run(tmp_path: Path) -> None:
    packages = install(
        tmp_path / "packages",
        ORACLE + BENCHMARK + SAMPLER,
        oracles="Alphabetical",
        benchmarks="FirstLetters",
        samplers="Mine",
    )
    chosen = ("oracle.kind=alphabetical", "rollout.engine=mine", "evaluation.benchmarks=[first_letters, head_to_head]")
    sets = [flag for each in (*SMALL, *chosen) for flag in ("--set", each)]
    done = nashflow(packages, "run", "quickstart", "--run-root", str(tmp_path / "run"), *sets)
    assert done.returncode == 0, done.stderr
    assert "letters" in done.stdout
    evaluated = [
        line.split() for line in done.stdout.splitlines() if line.startswith("iteration") and "evaluation" in line
    ]
    assert [words[:-1][1 : words.index("evaluation")] for words in evaluated] == [
        ["0"],
        ["0", "vllm"],
        ["1"],
        ["1", "vllm"],
    ]
    summary = json.loads((tmp_path / "run/report/summary.json").read_text())
    assert 1 <= summary["iterations"][1]["first_letters"] <= 5
    assert summary["iterations"][1]["win_rate"] is not None


def complaint(packages: Path, *sets: str) -> str:
    done = nashflow(packages, "plan", "quickstart", *(flag for each in sets for flag in ("--set", each)))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    return line


def test_a_variant_that_lacks_a_method_is_refused(tmp_path: Path) -> None:
    lacking = BENCHMARK.replace("def measure", "def measures")
    assert complaint(install(tmp_path / "packages", lacking, benchmarks="FirstLetters")) == (
        "nashflow: entry point nashflow.benchmarks: firstletters of theirs: FirstLetters lacks measure, which "
        "Benchmark asks for"
    )


def test_a_kind_that_exists_is_refused(tmp_path: Path) -> None:
    taken = SAMPLER.replace('"mine"', '"vllm"')
    assert complaint(install(tmp_path / "packages", taken, samplers="Mine")) == (
        "nashflow: entry point nashflow.samplers: mine of theirs: kind 'vllm' is taken by Vllm: rename"
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("class Mine: ...", "theirs:Mine is no subclass of nashflow.components.sampling.engines.SamplingEngine"),
        (SAMPLER.replace('Literal["mine"] = "mine"', "str"), 'Mine has no name: set kind: Literal["…"] = "…" in it'),
        ("import nowhere", "cannot be imported: No module named 'nowhere'"),
    ],
)
def test_what_is_no_variant_is_refused(tmp_path: Path, source: str, reason: str) -> None:
    said = complaint(install(tmp_path / "packages", source, samplers="Mine"))
    assert said == f"nashflow: entry point nashflow.samplers: mine of theirs: {reason}"


def test_an_unknown_kind_names_the_nearest_of_all(tmp_path: Path) -> None:
    packages = install(tmp_path / "packages", ORACLE, oracles="Alphabetical")
    assert complaint(packages, "oracle.kind=alfabetical").endswith(
        "oracle.kind: 'alfabetical' is unknown; did you mean alphabetical?"
    )
    assert complaint(packages, "rollout.engine=vlm").endswith(
        "rollout.engine.kind: 'vlm' is unknown; did you mean vllm?"
    )
