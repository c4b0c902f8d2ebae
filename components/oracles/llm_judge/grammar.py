"""The grammars of verdicts: how P(A is better) is read from a judge's output. What they cannot read is no verdict."""

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...core.errors import UserError
from ...core.settings import Settings
from .client import Answer


class Grammar(Settings, ABC):
    """Interface of the grammars of verdicts."""

    request: ClassVar[Mapping[str, Any]] = {}
    """Fields of the request that the grammar needs."""
    reads_draws: ClassVar[bool] = True
    """Whether it reads tokens that the judge has drawn."""

    @abstractmethod
    def read(self, answer: Answer) -> float | None:
        """P(A is better) according to a judge's answer; None if that has no verdict in this grammar."""

    @abstractmethod
    def spoken_in(self, text: str) -> bool:
        """Whether a text, such as that of a response, holds what reads as a verdict."""


class _Meaning(Grammar):
    """What is found in the judge's text, and what it means: one of some words, or a score in a range."""

    means: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] | None = None
    """P(A is better) for each word of a verdict: 1 for A, 0 for B, 0.5 for a tie."""
    range: tuple[float, float] | None = None
    """The scores of the surest verdicts for A and for B; those between them are in proportion."""

    @field_validator("means", mode="before")
    @classmethod
    def _in_words(cls, means: Any) -> Any:
        if isinstance(means, dict) and (others := [word for word in means if not isinstance(word, str)]):
            raise ValueError(f"YAML reads a word as {others[0]!r}: write the words in quotes")
        return means

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.means is None) == (self.range is None):
            raise ValueError("give either means, for words, or range, for scores")
        if self.range and self.range[0] == self.range[1]:
            raise ValueError("range: its ends are equal: give the scores of the surest verdicts for A and for B")
        if self.means is not None and not min(self.means.values(), default=1) < 0.5 < max(self.means.values()):
            raise ValueError("means: one word has to mean that A is better (above 0.5), and one that B is (below)")
        return self

    def read(self, answer: Answer) -> float | None:
        """The last verdict in the text counts, after all thoughts; one in a text that was cut is none."""
        if answer.finish == "length":
            return None
        text = answer.text.rpartition("</think>")[2]
        if text.lstrip().startswith("<think>"):  # they did not end
            return None
        found = [meant for each in self._found(text) if (meant := self._meant(each)) is not None]
        return found[-1] if found else None

    def spoken_in(self, text: str) -> bool:
        """Whether it holds a verdict."""
        return any(self._meant(each) is not None for each in self._found(text))

    @abstractmethod
    def _found(self, text: str) -> Iterator[Any]:
        """The words or scores in a text, in their order."""

    def _meant(self, said: Any) -> float | None:
        word = said if isinstance(said, str) else json.dumps(said)
        if self.means is not None:
            return self.means.get(word)
        assert self.range, "either is given"
        try:
            share = (self.range[1] - float(word)) / (self.range[1] - self.range[0])
        except ValueError:
            return None
        return share if 0.0 <= share <= 1.0 else None


class Pattern(_Meaning):
    """A regular expression, such as `\\[\\[(A|B|C)\\]\\]`, whose one group is the word or the score."""

    kind: Literal["pattern"] = "pattern"
    pattern: str
    """The regular expression, in Python's syntax."""

    @model_validator(mode="after")
    def _has_one_group(self) -> Self:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"pattern: no regular expression: {error}") from None
        if groups != 1:
            raise ValueError(f"pattern: has {groups} groups: put the word or the score, and it alone, in parentheses")
        return self

    def _found(self, text: str) -> Iterator[str]:
        return (match[1] for match in re.finditer(self.pattern, text) if match[1] is not None)


class Json(_Meaning):
    """A JSON object in the judge's text that fits a JSON schema, and a field of it."""

    kind: Literal["json"] = "json"
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    """JSON schema of the object."""
    fields: Annotated[tuple[str, ...], Field(min_length=1)]
    """Where the word or the score is: `ranking`, or `overall.ranking` in an inner object; the first that is there."""

    @model_validator(mode="after")
    def _is_schema(self) -> Self:
        import jsonschema

        try:
            jsonschema.validators.validator_for(self.schema_).check_schema(self.schema_)
        except jsonschema.SchemaError as error:
            raise ValueError(f"schema: no JSON schema: {error.message}") from None
        _require_references(self.schema_)
        return self

    def _found(self, text: str) -> Iterator[Any]:
        from jsonschema.validators import validator_for

        validator = validator_for(self.schema_)(self.schema_)
        for said in _objects(text):
            if validator.is_valid(said):
                at = (_at(said, field.split(".")) for field in self.fields)
                yield from [value for value in at if value is not None][:1]


class Logprobs(Grammar):
    """The log-probabilities of two tokens at the first place of the judge's output."""

    kind: Literal["logprobs"] = "logprobs"
    request: ClassVar[Mapping[str, Any]] = {"max_tokens": 1, "logprobs": True, "top_logprobs": 20}
    reads_draws: ClassVar[bool] = False
    tokens: dict[Literal["A", "B"], str]
    """The tokens that name A and B; spaces around a token do not count."""

    @model_validator(mode="after")
    def _are_two(self) -> Self:
        named = {token.strip() for token in self.tokens.values()}
        if set(self.tokens) != {"A", "B"} or len(named) != 2 or "" in named:
            raise ValueError("tokens: give two different ones, such as {A: m, B: M}")
        return self

    def read(self, answer: Answer) -> float | None:
        """The probability of A's token as a part of both; one that is not among the likeliest has none.

        Raises:
            UserError: the answer has no log-probabilities.
        """
        if not answer.top:
            raise UserError(
                "oracle.template: its verdict.kind is logprobs, but the server of oracle.endpoint.url returns no "
                "log-probabilities: set oracle.template to one that reads text, such as mt-bench-pair-v2"
            )
        masses = [
            sum(math.exp(logprob) for token, logprob in answer.top if token.strip() == self.tokens[side].strip())
            for side in ("A", "B")
        ]
        return masses[0] / sum(masses) if sum(masses) > 0.0 else None

    def spoken_in(self, text: str) -> bool:
        """Nothing in a text is a log-probability."""
        return False


AnyGrammar = Annotated[Pattern | Json | Logprobs, Field(discriminator="kind")]


def _require_references(schema: Mapping[str, Any]) -> None:
    """Refuse a JSON schema with a `$ref` to what does not stand in it: nothing is fetched."""
    from jsonschema.validators import validator_for

    validator = validator_for(schema)(schema)
    for reference in _references(schema):
        try:
            found = (
                reference.startswith("#") and validator.evolve(schema={"$ref": reference}).is_valid(None) is not None
            )
        except Exception:  # of a class that the library keeps to itself
            found = False
        if not found:
            raise ValueError(f"schema: $ref {reference!r} leads to nothing in the schema")


def _references(schema: Any) -> Iterator[str]:
    """Every `$ref` in a JSON schema."""
    if isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
        yield schema["$ref"]
    if isinstance(schema, dict | list):
        for each in schema.values() if isinstance(schema, dict) else schema:
            yield from _references(each)


def _objects(text: str) -> Iterator[Any]:
    """The JSON objects in a text that are not inside of another."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            said, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield said
        at = text.find("{", end)


def _at(said: Any, path: list[str]) -> Any:
    """The value at the end of a path of keys; None if there is none."""
    for key in path:
        said = said.get(key) if isinstance(said, dict) else None
    return said
