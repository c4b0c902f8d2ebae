"""`nashflow benchmark list`: what each benchmark measures, and what it needs."""

import inspect
import json
from typing import Any

from nashflow.components.benchmarks import BENCHMARKS
from nashflow.components.benchmarks.base import BenchmarkSettings, FolderBenchmark
from nashflow.components.benchmarks.questions import QuestionBenchmark

from ..terminal import terminal


def print_list(as_json: bool) -> None:
    """Print every benchmark that there is, third parties' among them."""
    listed = [_entry(kind, benchmark) for kind, benchmark in BENCHMARKS.members.items()]
    if as_json:
        print(json.dumps(listed, ensure_ascii=False, indent=1))
        return
    console = terminal()
    for each in listed:
        console.print(f"{each['name']}: {each['measures']}", style="bold", soft_wrap=True)
        console.print(f"  needs {', '.join(each['needs'])}", soft_wrap=True)
        if each["figures"]:
            console.print(f"  figures: {', '.join(each['figures'])}", soft_wrap=True)
        for file in each["files"]:
            notes = [note for note, holds in (("optional", not file["needed"]), ("online", file["source"])) if holds]
            noted = f" ({', '.join(notes)})" if notes else ""
            console.print(f"  {file['name']}: {file['about']}{noted}", soft_wrap=True)


def _entry(kind: str, benchmark: type[BenchmarkSettings]) -> dict[str, Any]:
    # Without settings a benchmark of model folders has the figures of its defaults.
    of_folders = benchmark.model_construct(kind=kind).measures(None) if issubclass(benchmark, FolderBenchmark) else ()
    figures = benchmark.scored if issubclass(benchmark, QuestionBenchmark) else of_folders or benchmark.figures
    files = benchmark.files if issubclass(benchmark, QuestionBenchmark) else ()
    return {
        "name": kind,
        "measures": inspect.cleandoc(benchmark.__doc__ or "").split("\n\n")[0].replace("\n", " "),
        "needs": _needs(benchmark),
        "figures": [figure.name for figure in figures],
        "files": [
            {
                "name": file.name,
                "about": file.about,
                "sha256": file.sha256,
                "source": file.source,
                "needed": file.needed,
            }
            for file in files
        ],
    }


def _needs(benchmark: type[BenchmarkSettings]) -> list[str]:
    if issubclass(benchmark, QuestionBenchmark):
        questions = [f"{benchmark.total} questions"] if benchmark.total else []
        calls = f"a judge, asked {benchmark.calls} times an answer at most" if benchmark.calls > 1 else "a judge"
        return ["a model folder", *questions, calls if benchmark.asks_judge else "no judge: rules"]
    if issubclass(benchmark, FolderBenchmark):
        return ["a model folder"]
    needed = ["a run, with its reference and its held-out prompts"]
    needed += ["the sandbox world"] if benchmark.needs_world else []
    needed += ["the recipe's oracle"] if benchmark.asks_oracle else []
    return needed + ([f"or, for a model by itself, what {benchmark.alone} needs"] if benchmark.alone else [])
