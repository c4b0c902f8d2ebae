"""Templates of judges: YAML files that say what a judge is shown, and how its verdict is read."""

import importlib.resources
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from ...core.digests import canonical_json, digest_json
from ...core.errors import UserError
from ...core.settings import Settings
from ...core.yaml_files import read_yaml
from ...storage.records import Message
from .grammar import AnyGrammar

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_SLOTS = ("question", "answer_a", "answer_b")
_SLOT = re.compile(r"\{(\w+)\}")
_SHORTEST_MARK = 8
"""Characters of a template's line that is told from what any response may hold."""


_OURS = {"messages", "model", "n", "stream"}
"""Fields of a request that are not the user's to set."""


def _fields(request: dict[str, Any]) -> dict[str, Any]:
    if taken := sorted(request.keys() & _OURS):
        raise ValueError(f"{taken[0]} is set by NashFlow: remove it")
    try:
        canonical_json(request)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a value is none of JSON: {error}") from None
    return request


RequestFields = Annotated[dict[str, Any], AfterValidator(_fields)]


class Turn(Settings):
    """A message to the judge."""

    role: str = Field(min_length=1)
    """system, user, or one that the judge's chat template knows."""
    content: str
    """Its text, with slots: {question}, {answer_a}, {answer_b}."""

    @field_validator("content")
    @classmethod
    def _known_slots(cls, content: str) -> str:
        for slot in _SLOT.findall(content):
            if slot not in _SLOTS:
                slots = ", ".join(f"{{{each}}}" for each in _SLOTS)
                raise ValueError(f"{{{slot}}} is no slot: they are {slots}; as text, write {{ {slot} }}, with spaces")
        return content


class Template(Settings):
    """What a judge is shown, and how its verdict is read."""

    source: str = ""
    """Where the text is from, and its licence; no part of the judge's identity."""
    request: RequestFields = Field(default_factory=dict)
    """Fields of the request, such as temperature and max_tokens."""
    dialogue: bool = False
    """Whether the messages of the prompt go before the template's own, as they are."""
    messages: tuple[Turn, ...]
    """The messages to the judge."""
    verdict: AnyGrammar
    """The grammar of its verdict."""

    @model_validator(mode="before")
    @classmethod
    def _has_a_grammar(cls, data: Any) -> Any:
        if isinstance(data, dict) and "verdict" not in data and data.keys() <= cls.model_fields.keys():
            raise ValueError(
                "verdict is missing, the grammar by which verdicts are read: give one, such as {kind: pattern, "
                "pattern: '\\[\\[(A|B|C)\\]\\]', means: {A: 1, B: 0, C: 0.5}}"
            )
        return data

    @model_validator(mode="after")
    def _shows_everything(self) -> Self:
        shown = {slot for turn in self.messages for slot in _SLOT.findall(turn.content)}
        if missing := [slot for slot in _SLOTS if slot not in shown and not (slot == "question" and self.dialogue)]:
            raise ValueError(f"messages: {{{missing[0]}}} stands in none of them, so that the judge would not see it")
        return self

    def digest(self) -> str:
        """Identity of the template, however its file is written."""
        return digest_json(self.model_dump(mode="json", by_alias=True, exclude={"source"}))

    def rendered(self, messages: Sequence[Message], answer_a: str, answer_b: str) -> list[Message]:
        """The messages to the judge about two answers. What the answers hold stays text, slots too."""
        slots = {"question": question(messages), "answer_a": answer_a, "answer_b": answer_b}
        turns = [
            Message(role=turn.role, content=_SLOT.sub(lambda slot: slots[slot[1]], turn.content))
            for turn in self.messages
        ]
        return [*messages, *turns] if self.dialogue else turns

    def imitated_in(self, response: str) -> bool:
        """Whether a response holds a line of the template, or what reads as a verdict."""
        return self.verdict.spoken_in(response) or any(mark in response for mark in self._marks())

    def _marks(self) -> set[str]:
        """The lines of the template without slots."""
        lines = {line.strip() for turn in self.messages for line in turn.content.splitlines()}
        return {line for line in lines if len(line) >= _SHORTEST_MARK and not _SLOT.search(line)}


def question(messages: Sequence[Message]) -> str:
    """A prompt as one text: its message as it is, or each of several under the name of its role."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"### {message['role'].capitalize()}:\n{message['content']}" for message in messages)


def shipped() -> list[str]:
    """The names of the templates that come with NashFlow."""
    return sorted(file.name.removesuffix(".yaml") for file in _folder().iterdir() if file.name.endswith(".yaml"))


def read_template(named: str) -> Template:
    """The template that a recipe names: a shipped one's name, or the path of a YAML file.

    Raises:
        UserError: there is none, or it is none; says what is wrong.
    """
    path = Path(str(_folder() / f"{named}.yaml")) if named in shipped() else Path(named)
    where = f"oracle.template {named}"
    try:
        return Template.parse(read_yaml(path, where), where)
    except FileNotFoundError:
        raise UserError(f"{where}: there is no such file; shipped: {', '.join(shipped())}") from None


def _folder() -> "Traversable":
    return importlib.resources.files(__package__) / "templates"
