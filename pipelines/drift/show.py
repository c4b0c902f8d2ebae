"""Show drift on a terminal, as JSON, and as a page."""

import json
from pathlib import Path

from nashflow.components.core.atomic_file import replacing
from nashflow.components.core.errors import UserError

from ..plain_table import print_table
from ..tables import print_place
from ..terminal import terminal
from .page import render
from .report import Drift, drift
from .tables import EXPLAINED, HEADINGS, JUDGE_HEADINGS, cells, findings, judge_cells

PAGE, RECORD = "drift.html", "drift.json"


def show_drift(named: str, under: str, output: Path | None, as_json: bool) -> None:
    """Look at the runs of a name, or of a registered model, and show what has changed.

    Raises:
        UserError: as `drift`, or `output` is a file.
    """
    if output and output.is_file():
        raise UserError(f"--output {output}: is a file: give a folder")
    found = drift(named, under)
    record = json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False, indent=1)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        for name, text in {PAGE: render(found), RECORD: record}.items():
            with replacing(output / name) as file:
                file.write(text.encode())
    if as_json:
        print(record)
    else:
        _print(found, output)


def _print(found: Drift, output: Path | None) -> None:
    console = terminal()
    print_table(console, f"{found.named}: {len(found.rows)} runs", HEADINGS, cells(found))
    console.print(EXPLAINED, style="dim")
    if judged := judge_cells(found):
        print_table(console, "the judge on the same pairs", JUDGE_HEADINGS, judged)
    for line in findings(found):
        console.print(line, soft_wrap=True)
    if output:
        print_place(console, "page", str(output / PAGE))
