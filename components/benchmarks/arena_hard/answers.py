"""Files of answers to Arena-Hard's questions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...core.errors import UserError
from ..stored import read_rows, require_once
from .style import Style


class Answered(NamedTuple):
    """An answer to a question."""

    model: str
    text: str
    style: Style | None
    """With its length in tokens, as the file has counted them; None if it has not."""


def read_answers(path: Path) -> dict[str, Answered]:
    """The answers in a file, by question.

    Raises:
        UserError: a line is no answer, or a question is there more than once.
    """
    return answers_in(read_rows(path), str(path))


def answers_in(rows: Sequence[Mapping[str, Any]], where: str) -> dict[str, Answered]:
    """The answers in rows of a file, by question.

    Raises:
        UserError: as `read_answers`.
    """
    questions = [question_of(row) for row in rows]
    require_once(questions, where)
    return {
        question: _answered(row, f"{where}: entry {number}")
        for number, (question, row) in enumerate(zip(questions, rows, strict=True), start=1)
    }


def question_of(row: Mapping[str, Any]) -> str:
    """The id of the question that a row is about: its `uid`, or in the first files its `question_id`."""
    return str(row.get("uid") or row.get("question_id") or "")


def _answered(row: Mapping[str, Any], where: str) -> Answered:
    try:
        if "messages" in row:
            model, content = row["model"], row["messages"][-1]["content"]
            text = content if isinstance(content, str) else content["answer"]
        else:
            model, text = row["model_id"], row["choices"][0]["turns"][-1]["content"]
        return Answered(str(model), str(text), _counted(row.get("metadata")))
    except (KeyError, IndexError, TypeError):
        raise UserError(f"{where}: is no answer of Arena-Hard: it has messages, or choices with turns") from None


def _counted(metadata: Mapping[str, Any] | None) -> Style | None:
    if not metadata:
        return None
    markup = (sum(metadata[name].values()) for name in ("header_count", "list_count", "bold_count"))
    return Style(int(metadata["token_len"]), *markup)
