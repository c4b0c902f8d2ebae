"""The findings as a table for people, or as JSON for programs."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

from rich import box
from rich.table import Table
from rich.text import Text

from ..terminal import terminal
from .finding import Finding

_COLOURS = {"ok": "green", "failed": "bold red", "not needed": "dim", "not tried": "yellow", "not known": "cyan"}


def show_table(findings: Iterable[Finding], strict: bool) -> bool:
    """Print the findings; whether nothing failed, and with `strict` nothing was left untried."""
    console = terminal()
    with console.status("looking"):
        found = list(findings)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    table.add_column("check", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("check, finding, remedy", overflow="fold")
    for each in found:
        table.add_row(Text(each.check), Text(each.state, _COLOURS[each.state]), _told(each))
    console.print(table)
    counts: Counter[str] = Counter(each.state for each in found)
    console.print(", ".join(f"{counts[state]} {state}" for state in _COLOURS if counts[state]))
    return _fine(found, strict)


def show_json(findings: Iterable[Finding], strict: bool) -> bool:
    """Print the findings as one JSON object; whether nothing failed, and with `strict` nothing was left untried."""
    found = list(findings)
    fine = _fine(found, strict)
    print(json.dumps({"ok": fine, "findings": [asdict(each) for each in found]}, indent=1, ensure_ascii=False))
    return fine


def _fine(findings: Iterable[Finding], strict: bool) -> bool:
    return all(each.state != "failed" and not (strict and each.state == "not tried") for each in findings)


def _told(finding: Finding) -> Text:
    text = Text(finding.found if finding.state == "not tried" else f"{finding.tried}: {finding.found}")
    if finding.advice:
        text.append(f"\n→ {finding.advice}", "bold" if finding.state == "failed" else "")
    return text
