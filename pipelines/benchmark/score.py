"""Score stored judgments, and show what they come to."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from nashflow.components.benchmarks.stored import Figures, Files, Rescored
from nashflow.components.core.errors import UserError

from ..plain_table import print_table
from ..terminal import terminal
from .kinds import question_benchmark


def print_scores(
    name: str, judgments: Path, outputs: Path | None, baseline: Path | None, data: Path | None, as_json: bool
) -> None:
    """Print the scores of a benchmark by stored judgments.

    Raises:
        UserError: no such benchmark, or something is wrong with a file.
    """
    if data and not data.is_dir():
        raise UserError(f"--data {data}: there is no such folder")
    rescored = question_benchmark(name).rescored(Files(judgments, outputs, baseline, data))
    if as_json:
        print(json.dumps(asdict(rescored), ensure_ascii=False, allow_nan=False, indent=1))
    else:
        _print(rescored)


def _print(rescored: Rescored) -> None:
    console = terminal()
    against = f" against {rescored.baseline}" if rescored.baseline else ""
    title = f"{rescored.benchmark}: {rescored.model}{against}, judged by {rescored.judge}"
    columns: Mapping[str, Figures] = {"all": rescored.figures, **rescored.categories}
    names = list(dict.fromkeys(figure for figures in columns.values() for figure in figures))
    rows = [(figure, *(_shown(figures.get(figure)) for figures in columns.values())) for figure in names]
    print_table(console, title, ["", *columns], rows)
    for note in rescored.notes:
        console.print(note, style="dim", soft_wrap=True)


def _shown(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.2f}"
