"""From dialogues to token ids, for policies and for judges: a tokenizer and its chat template.

The template decides: ids are those of the tokenizer's own `apply_chat_template`. Two things are seen to beyond that:
a text that spells a special token stays text, and a BOS that is written twice at the beginning is written once.
"""

import html
import json
import re
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic import ConfigDict, Field, field_validator, model_validator

from ..core.errors import UserError, one_line
from ..core.settings import Settings
from ..storage.records import Message
from .folders import read_json
from .plain_text import SpecialTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_JSON_ESCAPES = re.compile(r'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))+')
_ANSWER = "It is that one."
_ASKED = Message(role="user", content="Which one is it?")


# What `apply_chat_template` is told by us.
_OURS = {"conversation", "chat_template", "add_generation_prompt", "tokenize", "return_dict", "strftime_now"}


class TemplateSettings(Settings):
    """Which chat template of a model folder is used, and how."""

    template: str = ""
    """The chat template's name, where the tokenizer has several; empty: the one called default."""
    template_arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the chat template, such as `enable_thinking: false`."""

    @field_validator("template_arguments")
    @classmethod
    def _theirs(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(value.keys() & _OURS):
            raise ValueError(f"{taken[0]} is set by NashFlow: remove it")
        return value


DEFAULT_TEMPLATE = TemplateSettings()


class PolicyTemplate(TemplateSettings):
    """The part of the recipe's `policy` section that renders its prompts; the rest is ignored."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """A policy without further settings may be its bare kind."""
        return {} if isinstance(value, str) else value


class _Turn(NamedTuple):
    """What a template writes around an answer."""

    before: str
    """Blanks between the generation prompt and the answer."""
    after: str
    """What follows the answer, up to the special token that ends the turn; empty if none does."""
    end: int
    """The id of that token; without one, of the tokenizer's EOS, or else of the one that the model's files name."""


class Dialogues:
    """A tokenizer with one of its chat templates, the template's arguments and the date that it writes."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        settings: TemplateSettings = DEFAULT_TEMPLATE,
        day: str = "",
        section: str = "policy",
    ) -> None:
        """`day` is an ISO date; `section` is the recipe's that errors name.

        Raises:
            UserError: there is no chat template, no such one, or several and none is named.
        """
        self.tokenizer = tokenizer
        self._folder = tokenizer.name_or_path
        self._template = _named(tokenizer, settings.template, section)
        self._arguments = dict(settings.template_arguments)
        self._day = day
        if "strftime_now" in self._template:
            self._arguments["strftime_now"] = self._strftime

    @property
    def arguments(self) -> dict[str, Any]:
        """What the template is told besides the messages."""
        return dict(self._arguments)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the messages, up to where the assistant's answer begins.

        Raises:
            UserError: the template refuses the messages.
        """
        text, apart = self._rendered(messages, prompting=True)
        return self._ids(text, apart)

    def whole(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a finished dialogue, as a judge reads it.

        Raises:
            UserError: the template refuses the messages.
        """
        text, apart = self._rendered(messages, prompting=False)
        return self._ids(text, apart)

    def answer(self, messages: Sequence[Message], text: str) -> list[int]:
        """Token ids of a given answer to `prompt(messages)`, as the model would have sampled it, with its end.

        Raises:
            UserError: the template refuses the messages, or the model has no token that ends an answer.
        """
        turn = self._turn
        prompt, apart = self._rendered(messages, prompting=True)
        apart = apart or self._special.spelled_in(text)
        answer = (self._special.hidden(text) if apart else text) + turn.after
        asked, both = self._ids(prompt, apart), self._ids(prompt + turn.before + answer, apart)
        # Where the tokenizer would merge the answer's first token with the prompt's last, it stands by itself.
        ids = both[len(asked) :] if both[: len(asked)] == asked else self._ids(answer, apart)
        return ids if turn.after else [*ids, turn.end]

    @cached_property
    def stop_ids(self) -> list[int]:
        """The tokens that end an answer, ascending: all that the template, the tokenizer, the model's generation
        settings and its configuration name.

        Raises:
            UserError: none of them names one, or one is no number.
        """
        return sorted({self._turn.end, *self._named_ends})

    @cached_property
    def _named_ends(self) -> list[int]:
        return named_ends(Path(self._folder), self.tokenizer)

    @cached_property
    def opens_turns(self) -> bool:
        """Whether the template writes a BOS before further turns, too; one that refuses further turns does not."""
        turns = [_ASKED, Message(role="assistant", content=_ANSWER), _ASKED]
        try:
            return self.whole(turns).count(cast(int, self.tokenizer.bos_token_id)) > 1
        except UserError:
            return False

    def require_bos(self, messages: Sequence[Message], ids: Sequence[int]) -> None:
        """Raise if the token ids that a model is sent for the messages do not begin as the tokenizer's own
        `apply_chat_template` has it: with its BOS once, or without.

        Raises:
            UserError: the BOS stands there twice, or not at all, or where the template has none.
        """
        roles = tuple(message["role"] for message in messages)
        if roles not in self._openings:
            contents = [f"What number {index} says." for index in range(len(roles))]
            text = self._roles_rendered(roles, contents)
            self._openings[roles] = min(1, self._leading_bos(self._encode(text)))
        sent, due = self._leading_bos(ids), self._openings[roles]
        if sent != due:
            bos = self.tokenizer.bos_token
            raise UserError(
                f"the model in {self._folder} would be sent {bos} {sent} times at the beginning of a prompt, where "
                f"its chat template has it {due} times: let the template alone write it"
            )

    @cached_property
    def _openings(self) -> dict[tuple[str, ...], int]:
        """How often the BOS stands before dialogues of some roles."""
        return {}

    def _leading_bos(self, ids: Sequence[int]) -> int:
        return next((at for at, token in enumerate(ids) if token != self.tokenizer.bos_token_id), len(ids))

    def require_whole(self, messages: Sequence[Message]) -> None:
        """Raise if the template refuses the messages, or loses something of them; it may escape their characters.

        Raises:
            UserError: says what is lost.
        """
        shape = tuple(message["role"] for message in messages)
        self._require_roles(shape)
        texts = _readings(self._render(messages, prompting=messages[-1]["role"] != "assistant"))
        for message in messages:
            if not any(message["content"].strip() in text for text in texts):
                raise UserError(
                    f"{self._says} leaves out a part of what the {message['role']} says: take that part out of the "
                    f"message ({one_line(message['content'])[:60]!r}), or use another template"
                )

    def _require_roles(self, roles: tuple[str, ...]) -> None:
        if roles in self._kept_roles:
            return
        contents = [f"What number {index} says." for index in range(len(roles))]
        text, at = self._roles_rendered(roles, contents), -1
        for role, content in zip(roles, contents, strict=True):
            if (at := text.find(content, at + 1)) < 0:
                raise UserError(f"{self._says} leaves out what the {role} says: name the roles as the template does")
        for role in {*roles} - {"user", "assistant"}:
            try:
                other = self._roles_rendered(["nobody" if each == role else each for each in roles], contents)
            except UserError:
                continue
            if other == text:
                raise UserError(f"{self._says} does not know the role {role!r}: name the roles as the template does")
        self._kept_roles.add(roles)

    def _roles_rendered(self, roles: Sequence[str], contents: Sequence[str]) -> str:
        messages = [Message(role=role, content=content) for role, content in zip(roles, contents, strict=True)]
        return self._render(messages, prompting=roles[-1] != "assistant")

    @cached_property
    def _kept_roles(self) -> set[tuple[str, ...]]:
        """Sequences of roles of which the template is known to lose nothing."""
        return set()

    @property
    def _says(self) -> str:
        return f"the chat template in {self._folder}"

    def _rendered(self, messages: Sequence[Message], *, prompting: bool) -> tuple[str, bool]:
        """The text, and whether special tokens that it spells were hidden in it."""
        apart = any(self._special.spelled_in(message[part]) for message in messages for part in ("role", "content"))
        if apart:
            hide = self._special.hidden
            messages = [Message(role=hide(each["role"]), content=hide(each["content"])) for each in messages]
        return self._render(messages, prompting=prompting), apart

    def _render(self, messages: Sequence[Message], *, prompting: bool) -> str:
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                cast(list[dict[str, str]], list(messages)),
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=prompting,
                **self._arguments,
            )
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise UserError(f"{self._says} refuses a dialogue: {one_line(error)}") from error
        return str(text)

    def _ids(self, text: str, apart: bool) -> list[int]:
        """Token ids of a rendered text, with one BOS where it begins with several."""
        encode = self._special.encode_apart if apart else self._encode
        ids = encode(text)
        return ids[max(0, self._leading_bos(ids) - 1) :]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    @cached_property
    def _answered(self) -> tuple[str, str]:
        """What the template writes before an answer and after it."""
        dialogue = [_ASKED, Message(role="assistant", content=_ANSWER)]
        before, _, after = self._render(dialogue, prompting=False).partition(_ANSWER)
        return before, after

    @cached_property
    def _turn(self) -> _Turn:
        prompt, (head, tail) = self._render([_ASKED], prompting=True), self._answered
        blanks = head.removeprefix(prompt) if head.startswith(prompt) else ""
        before = "" if blanks.strip() else blanks
        if found := self._special.pattern.search(tail):
            return _Turn(before, tail[: found.end()], cast(int, self.tokenizer.convert_tokens_to_ids(found[0])))
        if not self._named_ends:
            raise UserError(
                f"the model in {self._folder} has no end-of-sequence token: set eos_token in tokenizer_config.json"
            )
        return _Turn(before, "", self._named_ends[0])

    @cached_property
    def _special(self) -> SpecialTokens:
        """The tokens that are marked as special, and others that were added and stand around turns.

        Some models mark the tokens of turns as ordinary ones; tokens such as those around thoughts are the model's own
        words.
        """
        added = self.tokenizer.added_tokens_decoder.values()
        names = {token.content for token in added if token.special} | set(self.tokenizer.all_special_tokens)
        if others := [token.content for token in added if token.content not in names]:
            pattern = SpecialTokens(self.tokenizer, others).pattern
            around = self._render([_ASKED], prompting=False), self._answered[1]
            names.update(name for text in around for name in pattern.findall(text))
        return SpecialTokens(self.tokenizer, names)

    def _strftime(self, form: str) -> str:
        if not self._day:
            raise UserError(f"{self._says} writes the date, and the run has none: run its preparation again")
        return date.fromisoformat(self._day).strftime(form)


def _readings(text: str) -> list[str]:
    """A rendered text as it is, and without the escapes of HTML and of JSON, which templates may write."""
    return [text, html.unescape(text), _JSON_ESCAPES.sub(lambda escapes: json.loads(f'"{escapes[0]}"'), text)]


def _named(tokenizer: "PreTrainedTokenizerBase", name: str, section: str) -> str:
    folder, templates = tokenizer.name_or_path, tokenizer.chat_template
    if not templates:
        raise UserError(f"the tokenizer in {folder} has no chat template: add a chat_template.jinja to the folder")
    if isinstance(templates, str):
        if name:
            raise UserError(
                f"{section}.template is {name!r}, but the tokenizer in {folder} has one template: remove it"
            )
        return templates
    known = ", ".join(sorted(templates))
    if name and name not in templates:
        raise UserError(
            f"{section}.template: the tokenizer in {folder} has no template {name!r}: set it to one of {known}"
        )
    if not name and "default" not in templates:
        raise UserError(
            f"the tokenizer in {folder} has several chat templates and none is called default: set {section}.template "
            f"to one of {known}"
        )
    return str(templates[name or "default"])


def named_ends(folder: Path, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The tokens that end an answer, as the tokenizer, the model's generation settings and its configuration name them.

    Raises:
        UserError: one is no number.
    """
    config = read_json(folder / "config.json")
    places = [read_json(folder / "generation_config.json"), config, config.get("text_config") or {}]
    values = [tokenizer.eos_token_id, *(place.get("eos_token_id") for place in places)]
    named = [value if isinstance(value, list) else [value] for value in values]
    found = [token for ids in named for token in ids if token is not None]
    if wrong := [token for token in found if not isinstance(token, int)]:
        raise UserError(f"model folder {folder}: eos_token_id names {wrong[0]!r}: write the token's number instead")
    return found
