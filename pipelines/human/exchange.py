"""Comparisons out of a run root, verdicts into it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nashflow.components.core.atomic_file import replacing
from nashflow.components.core.digests import sha256_bytes
from nashflow.components.core.errors import UserError
from nashflow.components.oracles.human.agreement import Agreement, agreement
from nashflow.components.oracles.human.export import Question, asked, files, said_of
from nashflow.components.oracles.human.verdicts import Given, given_in, lines_of, read_line, votes_of
from nashflow.components.storage import layout
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import Store, open_store


@dataclass(frozen=True)
class Taken:
    """What became of verdicts that were handed in."""

    verdicts: int
    refused: Sequence[str]
    """A line for each verdict that was left out, and why."""
    left: str
    """What still lacks verdicts, in words; empty where nothing does."""
    agreement: Agreement | None

    def __str__(self) -> str:
        still = self.left or "none is lacking: start the run again"
        agreed = f"; {self.agreement}" if self.agreement else ""
        return f"verdicts taken: {self.verdicts}; {still}{agreed}"


def export_open(run_root: str, folder: Path) -> str:
    """Write what a run waits for to a folder; says in one line where, or that there is nothing.

    Raises:
        UserError: there is no such run, or it has never asked people; a verdict file of its is damaged.
    """
    _, store = _opened(run_root)
    questions = _open(asked(store), votes_of(given_in(store.at(layout.VERDICTS))))
    if not questions:
        return "no comparison lacks a verdict: start the run again"
    lines, html, _ = files(questions)
    for name, data in (("comparisons.jsonl", lines), ("comparisons.html", html)):
        with replacing(folder / name) as file:
            file.write(data)
    return f"{said_of(questions)}: {folder / 'comparisons.html'}, {folder / 'comparisons.jsonl'}"


def import_verdicts(run_root: str, paths: Sequence[Path]) -> Taken:
    """Copy the verdicts of some files into a run root, but for those that it cannot use.

    Raises:
        UserError: there is no such run, or it has never asked people; a file is no text.
    """
    questions, store = _opened(run_root)
    place = store.at(layout.VERDICTS)
    there = given_in(place)
    known = {(given.comparison, given.annotator): given for given in there}
    taken: list[Given] = []
    refused: list[str] = []
    for text, where in [each for path in paths for each in lines_of(path.read_bytes(), str(path))]:
        try:
            given = _usable(read_line(text, where), questions, known)
        except UserError as reason:
            refused.append(str(reason))
        else:
            known[given.comparison, given.annotator] = given
            taken.append(given)
    if taken:
        data = "".join(f"{json.dumps(_line(given))}\n" for given in taken).encode()
        place.write(f"{sha256_bytes(data)[:16]}.jsonl", data)
    votes = votes_of([*there, *taken])
    mine = [votes[comparison] for comparison in questions if comparison in votes]
    left = _open(questions, votes)
    return Taken(len(taken), refused, said_of(left) if left else "", agreement(mine))


def _opened(run_root: str) -> tuple[dict[str, Question], Store]:
    """Everything that a run has asked people."""
    store = open_store(run_root)
    run = require_run(store)
    questions = asked(store)
    if not questions:
        raise UserError(f"{store.uri}: the run {run.name} has not asked people for any comparison")
    return questions, store


def _open(questions: dict[str, Question], votes: dict[str, dict[str, str]]) -> list[Question]:
    """The questions that lack verdicts, with the annotators who have given theirs."""
    now = [
        replace(question, judged_by=tuple(sorted({*question.judged_by, *votes.get(comparison, ())})))
        for comparison, question in questions.items()
    ]
    return [question for question in now if len(question.judged_by) < question.annotators]


def _usable(given: Given, questions: dict[str, Question], known: dict[tuple[str, str], Given]) -> Given:
    """The verdict, if it is a new one.

    Raises:
        UserError: it is on another comparison, or the annotator has judged this one already.
    """
    if given.comparison not in questions:
        raise UserError(f"{given.where}: the run has never asked for the comparison {given.comparison}: left out")
    before = known.get((given.comparison, given.annotator))
    if before and given.contradicts(before):
        raise UserError(
            f"{given.where}: {given.annotator} says {given.verdict} of comparison {given.comparison}, and "
            f"{before.verdict} in {before.where}, which stays"
        )
    if before:
        raise UserError(f"{given.where}: doubled: the verdict of {given.annotator} is in {before.where} already")
    return given


def _line(given: Given) -> dict[str, str]:
    return {"comparison": given.comparison, "annotator": given.annotator, "verdict": given.verdict}
