"""`nashflow benchmark`: measure any model folder; list and fetch benchmarks. Heavy imports are inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Measure any model folder by the benchmarks of recipes; score stored judgments again.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A benchmark's kind, as `nashflow benchmark list` names it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command()
def run(
    name: Name,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER", help="Folder or s3://bucket/prefix of all that is made.")
    ],
    model: Annotated[Path | None, typer.Option(metavar="FOLDER", help="The model folder that answers.")] = None,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answers instead of a model, in the benchmark's own form.")
    ] = None,
    judge: Annotated[
        str, typer.Option(metavar="ORACLE", help="A YAML file with an oracle's settings, or a recipe.")
    ] = "",
    oracle: Annotated[
        str,
        typer.Option(
            metavar="ORACLE", help="The oracle that the model was trained by, likewise: how far does the judge agree?"
        ),
    ] = "",
    data: Annotated[str, typer.Option(metavar="DIR", help="Folder or s3:// prefix of the benchmark's files.")] = "",
    questions: Annotated[int | None, typer.Option(min=1, help="Ask so many of the questions, not all.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Change a setting of benchmark, rollout, policy or run, such as rollout.engine=vllm; repeatable.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a model: questions, answers, judgments, scores. The same command goes on where it was stopped."""
    from .run import Wanted, run_benchmark

    run_benchmark(Wanted(name, output, model, answers, judge, oracle, data, questions, overrides or []), as_json)


@app.command()
def compare(
    one: Annotated[str, typer.Argument(metavar="FOLDER", help="The --output of `nashflow benchmark run` of a model.")],
    other: Annotated[str, typer.Argument(metavar="FOLDER", help="That of another model on the same benchmark.")],
    as_json: Json = False,
) -> None:
    """By how much one model is better than another, question by question, as one judge has judged both."""
    from .compare import compare_folders

    compare_folders(one, other, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """What each benchmark measures, and which files it needs."""
    from .listing import print_list

    print_list(as_json)


@app.command()
def fetch(
    name: Name,
    data: Annotated[Path, typer.Option(metavar="DIR", help="The folder to put its files into.")],
) -> None:
    """Download a benchmark's files from the addresses that it declares, and check their digests."""
    from .fetch import fetch_files

    fetch_files(name, data)


@app.command()
def score(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="alpaca_eval, arena_hard (version 0.1), arena_hard_v2 or mt_bench.")
    ],
    judgments: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Judgments of one model in the benchmark's own format: annotations.json, or a judge's JSON lines.",
        ),
    ],
    outputs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The model's answers, in the benchmark's own format.")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(metavar="FILE", help="The baseline's answers, likewise.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the benchmark's files: its questions, of which none may be missing then; for alpaca_eval "
            "df_gamed.csv and instruction_difficulty.csv, which length control needs.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score stored judgments as the benchmark defines its scores, with intervals."""
    from .score import print_scores

    print_scores(name, judgments, outputs, baseline, data, as_json)
