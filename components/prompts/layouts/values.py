"""From the values of an entry's fields to chat messages and texts."""

import json
import re
from collections.abc import Callable
from typing import Any

from .base import Bad, Empty, Messages

_USUAL = {
    "system": ("system",),
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "chatgpt", "bing", "bard", "bot", "model"),
}
ROLES = {role: usual for usual, roles in _USUAL.items() for role in roles}
"""Roles of ShareGPT and its relatives, by their usual names."""
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}
_PYTHON = re.compile(r"\s*\[\{'(role|content|from|value)':")
"""How a list of messages begins that was written as Python has it, which is not JSON."""
_TURN = re.compile(r"\n\n(Human|Assistant):")


def text_of(value: Any, field: str) -> str:
    """A content: a text, or a list of parts that are all texts."""
    if isinstance(value, list):
        texts = [part["text"] for part in value if _is_text(part)]
        if len(texts) < len(value):
            raise Bad(f"{field!r} has a part that is no text")
        value = "".join(texts)
    if not isinstance(value, str):
        raise Bad(f"{field!r} is no text, but {type(value).__name__}")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Bad(f"{field!r} is not valid Unicode: it holds half a surrogate pair")
    return value


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str)


def messages_of(value: Any, field: str) -> Messages:
    """A prompt: a text (one user message), or a list of chat messages."""
    if isinstance(value, str):
        return [{"role": "user", "content": text_of(value, field)}]
    return dialogue_of(value, field)


def dialogue_of(value: Any, field: str) -> Messages:
    """A list of messages with role and content, or from and value; roles have their usual names."""
    if not isinstance(value, list):
        raise Bad(f"{field!r} is neither a text nor a list of messages with role and content")
    found: Messages = []
    for message in value:
        role, content = _said(message)
        if not isinstance(role, str) or content is None:
            raise Bad(f"{field!r} is neither a text nor a list of messages with role and content")
        found.append({"role": ROLES.get(role.lower(), text_of(role, field)), "content": text_of(content, field)})
    return found


def _said(message: Any) -> tuple[Any, Any]:
    """Role and content of a message; None where it has none."""
    if not isinstance(message, dict):
        return None, None
    keys = ("role", "content") if "role" in message else ("from", "value")
    return message.get(keys[0]), message.get(keys[1])


def transcript_of(value: Any, field: str) -> Messages:
    """A dialogue written as one text, `\\n\\nHuman: …\\n\\nAssistant: …`; an empty last turn is left out."""
    text = text_of(value, field)
    start, *turns = _TURN.split(text)
    if start.strip() or not turns:
        raise Bad(f"{field!r} is no transcript: it does not begin with an empty line and Human:")
    said = [{"role": _SPEAKERS[turns[at]], "content": turns[at + 1].strip()} for at in range(0, len(turns), 2)]
    return said if said[-1]["content"] else said[:-1]  # type: ignore[return-value]


def json_dialogue_of(value: Any, field: str) -> Messages:
    """A list of messages written as JSON."""
    try:
        return dialogue_of(json.loads(text_of(value, field)), field)
    except json.JSONDecodeError as error:
        raise Bad(f"{field!r} is not JSON: {error}") from None


Reader = Callable[[Any, str], Messages]


def reader_of(value: Any) -> Reader:
    """How to read the values of a field, by its first: a transcript, messages as JSON, or as they stand."""
    if isinstance(value, str):
        if value.startswith("\n\nHuman:"):
            return _unless_a_list(transcript_of)
        if value.lstrip().startswith("[{"):
            try:
                if json_dialogue_of(value, ""):
                    return _unless_a_list(json_dialogue_of)
            except Bad:
                return _unless_a_list(json_dialogue_of) if _PYTHON.match(value) else messages_of
    return messages_of


def _unless_a_list(reader: Reader) -> Reader:
    return lambda value, field: dialogue_of(value, field) if isinstance(value, list) else reader(value, field)


def is_dialogue(value: Any) -> bool:
    """Whether a value is a dialogue rather than a text: a list of messages, a transcript, or JSON of one."""
    return isinstance(value, list) or reader_of(value) is not messages_of


def answer_of(value: Any, field: str) -> str:
    """A given response: a text, or the last of a list of messages, which is the assistant's."""
    if isinstance(value, list):
        said = dialogue_of(value, field)
        if not said or said[-1]["role"] != "assistant":
            raise Bad(f"{field!r} does not end in an answer of the assistant's")
        value = said[-1]["content"]
    elif not isinstance(value, str):
        raise Bad(f"{field!r} is neither a text nor a list of messages that ends in one")
    text = text_of(value, field)
    if not text.strip():
        raise Empty(f"{field!r} is empty")
    return text


def without_last_answer(messages: Messages) -> Messages:
    """The messages without the answer that they end with."""
    return messages[:-1] if messages and messages[-1]["role"] == "assistant" else messages
