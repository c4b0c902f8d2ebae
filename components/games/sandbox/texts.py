"""The sandbox world as text: prompts that name a context, responses that spell two symbols."""

from collections.abc import Sequence

from ...core.errors import UserError
from ...storage.records import Message
from .world import CONTEXTS, RESPONSES

CONTEXT_NAMES = tuple(f"x{context}" for context in range(CONTEXTS))
_TEXTS = tuple(" ".join(symbols) for symbols in RESPONSES)
_INDEX = {text: index for index, text in enumerate(_TEXTS)}


def prompt_messages(context: int) -> list[Message]:
    """The conversation that asks for a response in a context: one user message, the context's name."""
    return [{"role": "user", "content": CONTEXT_NAMES[context]}]


def context_index(messages: Sequence[Message]) -> int:
    """The context that a prompt names.

    Raises:
        UserError: the prompt is not one of the sandbox's.
    """
    contents = [message["content"] for message in messages]
    if len(contents) != 1 or contents[0] not in CONTEXT_NAMES:
        raise UserError(
            f"prompt {contents!r} is not of the sandbox world; its oracle judges only prompts {CONTEXT_NAMES[0]} to "
            f"{CONTEXT_NAMES[-1]}: leave prompts.path unset, or choose another oracle"
        )
    return CONTEXT_NAMES.index(contents[0])


def response_text(index: int) -> str:
    """The text of response `index`, such as "a d"."""
    return _TEXTS[index]


def response_index(text: str) -> int | None:
    """The response that a text spells, or None where it is malformed: not exactly two known symbols and a space."""
    return _INDEX.get(text)
