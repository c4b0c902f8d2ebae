"""`nashflow compare`: runs side by side, on the terminal, as a page and as JSON."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nashflow.components.core.atomic_file import replacing
from nashflow.components.core.errors import UserError
from nashflow.components.oracles.unanswered import Unanswered
from nashflow.components.reports.comparison.comparison import compared
from nashflow.components.reports.comparison.entries import Entry, labelled, read_published
from nashflow.components.reports.comparison.matches import Match, play
from nashflow.components.reports.comparison.page import render_comparison
from nashflow.components.storage import layout
from nashflow.components.storage.store import open_store

from ..run_root import open_run
from ..terminal import terminal
from .finding import Found, Wanted, find
from .show import print_comparison


def compare_runs(
    wanted: Wanted, metrics: Sequence[str], page: Path | None, *, play: bool = False, as_json: bool = False
) -> None:
    """Print the comparison of runs with the first of them, as tables or as one JSON object, and write its page.

    Raises:
        UserError: the runs are not found or do not compare, or a figure is not there; see `find` and `compared`.
    """
    if page and (page.suffix != ".html" or page.is_dir()):
        raise UserError(f"--output {page}: the page is an HTML file: give a name that ends in .html")
    entries = labelled([read_published(found.run_root) for found in _reported(find(wanted))])
    comparison = compared(entries, metrics)
    if play:
        comparison = replace(comparison, matches=_played(entries))
    if page:
        with replacing(page) as file:
            file.write(render_comparison(comparison).encode())
    if as_json:
        print(json.dumps(comparison.to_json(), indent=1, allow_nan=False))
    else:
        print_comparison(comparison, terminal(), page)


def _reported(found: Sequence[Found]) -> list[Found]:
    """Without the runs that were not asked for by name and have no report yet; stderr says how many these are."""
    kept = [each for each in found if each.named or open_store(each.run_root).exists(layout.SUMMARY)]
    if missing := len(found) - len(kept):
        print(f"nashflow: {missing} of {len(found)} runs are left out: they have no report yet", file=sys.stderr)
    if len(kept) < 2:
        raise UserError(f"{len(kept)} of these runs have a report, and a comparison takes two: let the others end")
    return kept


def _played(entries: Sequence[Entry]) -> list[Match]:
    """Every two runs' last policies, head to head under the oracle of the first, which is that of all.

    Raises:
        UserError: as `play`; or the oracle cannot run here, or cannot answer by itself.
    """
    entries[0].oracle.require_here()
    opened = open_run(entries[0].reported.store.uri)
    try:
        return play(entries, opened.oracle(), opened.signature)
    except Unanswered as error:
        raise UserError(f"--play: {error}, and people give them: compare without --play") from None
