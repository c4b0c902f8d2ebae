"""`nashflow judge`: how good a judge is, and judges made of labelled pairs. Heavy imports are inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Measure judges on pairs that were labelled, by people for example, or fit one to them.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


@app.command("compare", help="Measure several judges on the same pairs, and how they differ, with paired intervals.")
@app.command(
    "evaluate",
    help="Measure a judge: accuracy, biases, contradictions, calibration, agreement with people, cost. "
    "docs/judge-quality.md defines the figures.",
)
def evaluate(
    oracles: Annotated[
        list[str],
        typer.Argument(
            metavar="ORACLE...",
            help="YAML files with an oracle's settings or a section oracle; or recipes, shipped or not.",
        ),
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Labelled pairs: a file, folder or pattern, here, at s3:// or hf://.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="oracle.KEY=VALUE", help="Change a setting of each oracle; repeatable."),
    ] = None,
    field: Annotated[str, typer.Option(help="The field that holds the prompt.")] = "prompt",
    split: Annotated[str, typer.Option(help="The split to read.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Number of prompts at most, drawn from all.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of this draw.")] = 0,
    run_root: Annotated[
        str,
        typer.Option(
            metavar="RUN_ROOT",
            help="Judges that are dear to ask keep their verdicts beside this run root, where runs find them too; a "
            "judge that a run has fitted is in its run root.",
        ),
    ] = "runs/judge",
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the page report.html into this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure judges on labelled pairs, and where there are several, compare them."""
    from .evaluate import Pairs, report_judges

    report_judges(oracles, overrides or [], Pairs(data, field, split, limit, seed), run_root, output, as_json)


@app.command()
def train(
    config: Annotated[
        Path,
        typer.Argument(metavar="JUDGE", help="A YAML file with kind (reward_model, pair_preference), model, data, …"),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="The new model folder, which oracle.model takes.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, such as epochs=2; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a reward model or a pair preference model to labelled pairs, and measure it on those held out.

    The same command goes on where it was stopped. docs/judge-training.md lists the settings.
    """
    from .train import train_judge

    train_judge(config, overrides or [], output, as_json)
