"""Prompts, and the responses that come with them: read them, hold some back, and deal the rest out to iterations."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.digests import digest_json
from ..core.errors import UserError, one_line
from ..core.seeds import derive_seed
from ..games.sandbox.given import labelled_pair, teacher_response
from ..games.sandbox.settings import WorldSettings
from ..games.sandbox.texts import CONTEXT_NAMES, context_index, prompt_messages
from ..games.sandbox.world import make_world
from ..storage import records
from ..storage.records import Message
from .settings import PromptSettings

Messages = list[Message]
ResponseSource = Callable[[int, Messages], list[str]]
"""The given responses of a prompt, by its row id and messages."""


@dataclass(frozen=True)
class Prompt:
    """A dialogue to be continued, and given responses: a teacher's, or pairs of a chosen and a rejected one."""

    messages: Messages
    given: list[str]


_ENCODING = "utf-8-sig"  # with or without a byte order mark


def read_prompts(settings: PromptSettings) -> list[Prompt]:
    """All prompts of the source, in its order; one that occurs again counts once, with all that was given with it.

    Raises:
        UserError: the file is missing, unreadable or has too few prompts, or an entry is no object, lacks a field or
            is empty; names file and line.
    """
    if not settings.path:
        return [Prompt(prompt_messages(context), []) for context in range(len(CONTEXT_NAMES))]
    path = Path(settings.path)
    try:
        entries = list(_entries(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; set prompts.path to a JSON, JSONL or Parquet file of prompts") from None
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as prompts: {one_line(error)}") from None
    # A prompt that stands twice in the file could be held out and dealt as well.
    distinct: dict[str, Prompt] = {}
    for where, entry in entries:
        messages = _messages(entry, settings.field, where)
        known = distinct.setdefault(digest_json(messages), Prompt(messages, []))
        known.given.extend(_response(entry, field, where) for field in settings.given)
    prompts = list(distinct.values())
    if len(prompts) <= settings.held_out:
        raise UserError(
            f"{path}: {len(prompts)} prompts, of which prompts.held_out = {settings.held_out} are for evaluation: none "
            "is left to learn from; add prompts or lower prompts.held_out"
        )
    return prompts


def sandbox_responses(world: WorldSettings, given: str, seed: int) -> ResponseSource:
    """The given responses of the sandbox world: a teacher's response, or a labelled pair, for each row."""
    made = make_world(world)
    if given == "pairs":
        return lambda row_id, messages: list(labelled_pair(made, context_index(messages), seed, row_id))
    return lambda row_id, messages: [teacher_response(made, context_index(messages))]


def held_out(prompts: list[Prompt], settings: PromptSettings, seed: int) -> list[records.Prompt]:
    """The record rows of the prompts that only evaluation sees; their row ids are negative.

    The sandbox has eight prompts in all: evaluation sees the same ones, equally often.
    """
    if not settings.path:
        chosen = [prompts[index % len(prompts)] for index in range(settings.held_out)]
    else:
        chosen = [prompts[index] for index in _order(len(prompts), seed, "held out")[: settings.held_out]]
    return [{"row_id": -1 - index, "messages": prompt.messages, "given": []} for index, prompt in enumerate(chosen)]


def deal(
    prompts: list[Prompt], settings: PromptSettings, seed: int, iteration: int, source: ResponseSource | None = None
) -> list[records.Prompt]:
    """The record rows of one iteration: the next `per_iteration` of an endless stream, row id = place in the stream.

    What comes with a prompt is its own, or the `source`'s. The stream runs through all prompts that are not held out,
    each pass in an order of its own.
    """
    kept = list(range(len(prompts)))
    if settings.path:
        kept = sorted(_order(len(prompts), seed, "held out")[settings.held_out :])
    first = (iteration - 1) * settings.per_iteration
    orders: dict[int, list[int]] = {}
    rows: list[records.Prompt] = []
    for row_id in range(first, first + settings.per_iteration):
        turn, place = divmod(row_id, len(kept))
        if turn not in orders:
            orders[turn] = _order(len(kept), seed, "pass", turn)
        prompt = prompts[kept[orders[turn][place]]]
        given = source(row_id, prompt.messages) if source else prompt.given
        rows.append({"row_id": row_id, "messages": prompt.messages, "given": given})
    return rows


def shards(rows: list[records.Prompt], count: int) -> list[list[records.Prompt]]:
    """Rows cut into `count` runs of neighbours, as even as possible."""
    edges = [len(rows) * index // count for index in range(count + 1)]
    return [rows[start:end] for start, end in pairwise(edges)]


def _order(count: int, *seed: int | str) -> list[int]:
    order: list[int] = np.random.default_rng(derive_seed("prompts", *seed)).permutation(count).tolist()
    return order


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Each entry with where it stands."""
    if path.suffix == ".parquet":
        for index, row in enumerate(pq.read_table(path).to_pylist()):
            yield f"{path}: row {index}", row
    elif path.suffix == ".json":
        data = _parse(path.read_text(encoding=_ENCODING), str(path))
        if not isinstance(data, list):
            raise UserError(f"{path}: a JSON file of prompts is a list of objects, not {type(data).__name__}")
        for index, entry in enumerate(data):
            yield f"{path}: entry {index}", entry
    else:
        # Not splitlines: JSON's texts may hold other line separators as they are.
        for number, line in enumerate(path.read_text(encoding=_ENCODING).split("\n"), start=1):
            if line.strip():
                yield f"{path}: line {number}", _parse(line, f"{path}: line {number}")


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON: {error}") from None


def _messages(entry: Any, field: str, where: str) -> Messages:
    if not isinstance(entry, dict):
        raise UserError(f"{where}: a prompt is an object with the field {field!r}, not {type(entry).__name__}")
    if field not in entry:
        here = ", ".join(entry) or "none"
        raise UserError(
            f"{where}: no field {field!r}; set prompts.field to the one that holds the prompt (here: {here})"
        )
    prompt = entry[field]
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if not isinstance(messages, list) or not all(_is_message(message) for message in messages):
        raise UserError(f"{where}: {field!r} is neither a text nor a list of messages with role and content")
    if not messages or not all(message["content"].strip() for message in messages):
        raise UserError(f"{where}: the prompt is empty; remove the entry")
    if any("\ud800" <= letter <= "\udfff" for message in messages for letter in message["role"] + message["content"]):
        raise UserError(f"{where}: the prompt is not valid Unicode: it holds half a surrogate pair")
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def _response(entry: dict[str, Any], field: str, where: str) -> str:
    """A given response: a text, or the last of a list of messages."""
    if field not in entry:
        raise UserError(f"{where}: no field {field!r}, which prompts.given names (here: {', '.join(entry)})")
    value = entry[field]
    text = value[-1]["content"] if isinstance(value, list) and value and _is_message(value[-1]) else value
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: {field!r} is neither a text nor a list of messages that ends in one; or it is empty")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UserError(f"{where}: {field!r} is not valid Unicode: it holds half a surrogate pair")
    return text


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("role", "content"))
