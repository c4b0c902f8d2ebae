"""Whether runs compare: as a whole, and on a benchmark."""

import json
from collections.abc import Sequence

from ...benchmarks.questions import QuestionBenchmark
from ...core.errors import UserError
from ...storage import layout
from ...storage.units import require_manifest
from ..reported import incomparable
from .entries import Entry


def check_comparable(entries: Sequence[Entry]) -> None:
    """Refuse runs of different tasks: of another reference, oracle or world, other prompts or ways of sampling.

    Raises:
        UserError: says which two runs, and in what they differ.
    """
    first, *others = entries
    for other in others:
        if found := incomparable(first.reported, other.reported):
            raise UserError(
                f"{first.label} and {other.label} do not compare: {'; '.join(found)}; leave one of the two out"
            )


def measured_unlike(entries: Sequence[Entry]) -> dict[str, str]:
    """The figures that not all runs that have them have measured alike, each with the benchmark that measures it."""
    found: dict[str, str] = {}
    known = [_measured_by(entry) for entry in entries]
    for name in dict.fromkeys(name for each in known for name in each):
        if len({each[name] for each in known if name in each}) > 1:
            measured = (figure for entry in entries for figure in _figures(entry, name))
            found |= dict.fromkeys(measured, name)
    return found


def _figures(entry: Entry, benchmark: str) -> list[str]:
    """The names of a benchmark's figures."""
    found = [each for each in entry.shape.benchmarks if each.name == benchmark]
    return [figure.name for each in found for figure in each.measures(entry.oracle)]


def _measured_by(entry: Entry) -> dict[str, str]:
    """How each benchmark has measured the last policy: its settings, its version and its questions."""
    store, last = entry.reported.store, entry.last["iteration"]
    found = {}
    for each in entry.shape.due(last):
        questions = (
            require_manifest(store, layout.evaluation(0, each.stages[0])).digest
            if isinstance(each, QuestionBenchmark)
            else ""
        )
        version = require_manifest(store, layout.evaluation(last, each.units(last)[-1])).version
        found[each.name] = json.dumps([each.identity(), version, questions], sort_keys=True)
    return found
