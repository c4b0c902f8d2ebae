"""Measure judges on labelled pairs, and show what was measured."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from nashflow.components.core.atomic_file import replacing
from nashflow.components.core.errors import UserError
from nashflow.components.oracles.oracle_settings import OracleSettings
from nashflow.components.prompts.compared import read_compared
from nashflow.components.prompts.settings import PromptSource
from nashflow.components.quality.asking import ask, readable
from nashflow.components.quality.compare import differences
from nashflow.components.quality.kept import keep_quality
from nashflow.components.quality.measure import measure
from nashflow.components.quality.pairs import LabelledPairs
from nashflow.components.reports.judges import (
    JudgeReport,
    category_tables,
    difference_table,
    figure_table,
    meanings,
    rating_tables,
    render_judges,
)
from nashflow.components.reports.plain import plain
from nashflow.components.reports.table import Column
from nashflow.components.runtime.voice import log_format, speaking
from nashflow.components.storage.store import Store, open_store

from ..plain_table import print_table
from ..recipe import load_oracle
from ..tables import print_place
from ..terminal import terminal

PAGE = "report.html"


class Pairs(NamedTuple):
    """Labelled pairs, as the command line names them."""

    path: str
    field: str
    split: str
    limit: int | None
    seed: int


def report_judges(
    named: Sequence[str], overrides: Sequence[str], data: Pairs, run_root: str, output: Path | None, as_json: bool
) -> None:
    """Measure the judges in the files `named` and print their figures.

    Args:
        named: files or recipes with an oracle.
        overrides: of its settings.
        data: the pairs.
        run_root: beside it, judges that are dear to ask keep their verdicts; in it are those that its run has fitted.
        output: folder of the page.
        as_json: print JSON instead of tables.

    Raises:
        UserError: a judge or the pairs cannot be read, or a judge judges no such prompts.
    """
    if output and output.is_file():
        raise UserError(f"--output {output}: is a file: give a folder")
    store, today = open_store(run_root), date.today().isoformat()
    judges = [load_oracle(name, overrides).dated(today).made_in(store) for name in named]
    for judge in judges:
        judge.check()
    report = _measured(dict(zip(_names(named), judges, strict=True)), data, store)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        with replacing(output / PAGE) as file:
            file.write(render_judges(report).encode())
    if as_json:
        print(json.dumps(_record(report), ensure_ascii=False, allow_nan=False, indent=1))
    else:
        _print(report, output)


def _measured(judges: dict[str, OracleSettings], data: Pairs, store: Store) -> JudgeReport:
    source = PromptSource(path=data.path, field=data.field, split=data.split, on_bad="skip")
    compared, counts = read_compared(source, data.limit, data.seed)
    compared = readable(compared, list(judges.values()), counts)
    pairs = LabelledPairs.of(compared)
    asked = {}
    for name, judge in judges.items():
        with speaking({"step": name, "iteration": 0, "shard": 0, "phase": ""}, log_format("text")):
            asked[name] = ask(judge, pairs, store)
    measured = {
        name: (
            {"settings": judge.model_dump(mode="json"), "digest": judge.digest()},
            measure(pairs, asked[name]),
        )
        for name, judge in judges.items()
    }
    for name, judge in judges.items():
        keep_quality(store, judge, data.path, measured[name][1])
    return JudgeReport(data.path, counts, measured, differences(pairs, [each.verdicts for each in asked.values()]))


def _names(named: Sequence[str]) -> list[str]:
    """A name for each judge: its file's, or else its path, or else its place."""
    for names in ([Path(name).stem for name in named], list(named)):
        if len({*names}) == len(names):
            return names
    return [f"{place}. {name}" for place, name in enumerate(named, start=1)]


def _record(report: JudgeReport) -> dict[str, Any]:
    names = list(report.judges)
    judges = [{"judge": name, **plain(said), **plain(quality)} for name, (said, quality) in report.judges.items()]
    apart = [{**plain(each), "first": names[each.first], "second": names[each.second]} for each in report.differences]
    return {"path": report.path, **report.counts.to_json(), "judges": judges, "differences": apart}


def _print(report: JudgeReport, output: Path | None) -> None:
    console = terminal()
    title = f"{report.path}: layout {report.counts.layout}; {report.counts}"
    _print_columns(console, title, figure_table(report))
    console.print(meanings(report), style="dim")
    tables = {
        "accuracy: the judge's less the other's, with the paired interval": difference_table(report),
        **category_tables(report),
        **{f"models, as rated by {judge}": columns for judge, columns in rating_tables(report).items()},
    }
    for title, columns in tables.items():
        if columns:
            console.print()
            _print_columns(console, title, columns)
    if output:
        print_place(console, "report", str(output / PAGE))


def _print_columns(console: Console, title: str, columns: Sequence[Column]) -> None:
    rows = zip(*(column.cells for column in columns), strict=True)
    print_table(console, title, [column.title for column in columns], rows)
