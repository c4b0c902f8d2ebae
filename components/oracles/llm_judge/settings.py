"""Settings of the oracle that is a language model behind an OpenAI-compatible server."""

import os
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...core.digests import digest_json
from ...core.errors import UserError
from ...core.redaction import redact
from ...core.settings import Settings, nearest
from ...storage.records import Message
from ...storage.store import Store
from ..base import Query
from ..oracle_settings import OracleSettings, Round, Served, as_name, first_meetings
from .budget import Budget, Prices, Spent
from .cache import VerdictCache
from .calls import Calls, Noted
from .client import Answer, Client
from .completions import Completions
from .oracle import LLMJudgeOracle
from .template import RequestFields, Template, read_template, shipped

_ROUNDS = 4
_TRIAL = Query([Message(role="user", content="What is the capital of France?")], "It is Lyon.", "It is Paris.")


class Endpoint(Settings):
    """Where a judge is asked, and how much: no part of its identity, so that it may change within a run."""

    url: str
    """Address of an OpenAI-compatible API, such as `http://nashflow-judge:8000/v1`."""
    api_key_variable: str = ""
    """Name of the environment variable that holds the API key; empty: none is sent. The key itself stands nowhere."""
    concurrency: int = Field(16, ge=1)
    """Calls under way at the same time, in each step."""
    timeout: float = Field(300.0, gt=0.0)
    """Seconds without a byte of the server's after which a call has failed."""
    attempts: int = Field(8, ge=1)
    """How often a call is made that fails in passing, such as by 429, 5xx, a time-out or a cut body. Waits double up to
    a minute, or are what the server asks for by Retry-After."""
    prices: Prices = Prices()
    """What tokens cost."""
    budget: Budget = Budget()
    """What the run may use. When it is spent, steps stop; with a higher one the same command goes on."""

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        if redact(url) != url:  # shown nowhere
            raise ValueError("holds a secret: name an environment variable by api_key_variable instead")
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is no address of an API: give one such as http://nashflow-judge:8000/v1")
        return url

    @field_validator("api_key_variable")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):  # it may be a key, so it is not shown
            raise ValueError("is no name of an environment variable: give the name, never the key itself")
        return name

    @model_validator(mode="after")
    def _knows_prices(self) -> Self:
        if self.budget.cost is not None and self.prices == Prices():
            raise ValueError("budget.cost: there are no prices: set prices.input and prices.output")
        return self

    def key(self) -> str:
        """The API key; empty if none is needed.

        Raises:
            UserError: the environment does not have it.
        """
        key = os.environ.get(self.api_key_variable, "") if self.api_key_variable else ""
        if self.api_key_variable and not key:
            raise UserError(
                f"oracle.endpoint.api_key_variable: {self.api_key_variable} is not set in the environment of this "
                "step: set it to the key; on a cluster, from a Secret"
            )
        return key


class LLMJudge(OracleSettings):
    """Preferences of a language model that is asked over an OpenAI-compatible API and answers in words."""

    kind: Literal["llm_judge"] = "llm_judge"
    model: str = Field(min_length=1)
    """Name of the model at the server."""
    revision: str = ""
    """Tells models apart that a server gives the same name: change it when the server's model changes."""
    template: str = "mt-bench-pair-v2"
    """What the judge is shown and how its verdict is read: a shipped template's name, or the path of a YAML file."""
    request: RequestFields = Field(default_factory=dict)
    """Fields of the request that replace the template's, such as `temperature` and `max_tokens`, or others that the
    server knows, such as `chat_template_kwargs`; null leaves a field out."""
    endpoint: Endpoint
    """Where the judge is asked, and how much; no part of its identity."""

    @field_validator("template")
    @classmethod
    def _is_template(cls, named: str) -> str:
        if named not in shipped() and Path(named).suffix not in (".yaml", ".yml"):
            raise ValueError(f"{named!r} is neither a shipped one nor a .yaml file{nearest(named, shipped())}")
        return named

    @property
    def paths(self) -> tuple[Path, ...]:
        """The template's file, if it is no shipped one."""
        return () if self.template in shipped() else (Path(self.template),)

    @property
    def served(self) -> tuple[Served, ...]:
        """The judge."""
        return (Served(self.endpoint.url.rstrip("/"), self.model, self.endpoint.api_key_variable),)

    def check(self) -> None:
        """Refuse a template that cannot be read."""
        read_template(self.template)

    def check_reachable(self, store: Store, *, anew: bool) -> None:
        """Ask the judge about a pair.

        Raises:
            UserError: it cannot be asked, or has no room for a short question and an answer.
        """
        if self.load(store).finds_too_long(_TRIAL, anew=anew):
            longest = self._body(read_template(self.template)).get("max_tokens")
            raise UserError(
                f"oracle.model {self.model}: its context does not hold the template with a short question and "
                f"max_tokens = {longest}: set oracle.request.max_tokens lower, or use a longer context"
            )

    def digest(self) -> str:
        """Digest of the model's name, the template and the sampling parameters."""
        template = read_template(self.template)
        return digest_json([self.model, self.revision, template.digest(), self._body(template)])

    def load(self, store: Store | None = None) -> LLMJudgeOracle:
        """The judge, with what it has answered before."""
        template = read_template(self.template)
        cache = VerdictCache(store, self.digest()[:16], follow=self._follows)
        return LLMJudgeOracle(self._calls(self._body(template), cache), template)

    def completions(self, request: Mapping[str, Any], store: Store | None = None) -> Completions:
        """The judge in other words than its template's; `oracle.request` replaces fields of this request, too."""
        body = self._requested(request)
        judge = digest_json([self.model, self.revision, "completions", body])[:16]
        cache = VerdictCache(store, judge, follow=self._follows, outputs=True)
        return Completions(self._calls(body, cache))

    def _calls(self, body: Mapping[str, Any], cache: VerdictCache) -> Callable[[Callable[[Answer], Noted]], Calls]:
        place = self.endpoint
        client = Client(place.url, place.key(), place.timeout, place.attempts, place.concurrency)
        return lambda note: Calls(client, body, note, cache, place.prices, place.budget, place.concurrency)

    @property
    def _follows(self) -> bool:
        return self.endpoint.budget != Budget()

    @property
    def short_name(self) -> str:
        """The model's."""
        return as_name(self.model)

    @property
    def fills(self) -> int:
        """As many as make a few calls for each of those that are under way at the same time."""
        return _ROUNDS * self.endpoint.concurrency

    def asked_again(self) -> Self | None:
        """With another seed; None for log-probabilities, and where the temperature is 0."""
        template = read_template(self.template)
        body = self._body(template)
        if not template.verdict.reads_draws or body.get("temperature") == 0:
            return None
        seed = body.get("seed")
        other = seed + 1 if isinstance(seed, int) else 1
        return self.model_copy(update={"request": {**self.request, "seed": other}})

    def sequences(self, rounds: Sequence[Round]) -> int:
        """Every new pair, in both orders."""
        return 2 * sum(len(new) for new in first_meetings(rounds))

    def expected_usage(self, comparisons: int, prompt_tokens: float, response_tokens: float) -> Mapping[str, float]:
        """Two calls a comparison. A template has a token for four characters; answers are as long as they may be."""
        template, calls = read_template(self.template), 2 * comparisons
        own = sum(len(turn.content) for turn in template.messages) / 4
        answer = self._body(template).get("max_tokens") or response_tokens
        spent = Spent(round(calls * (own + prompt_tokens + 2 * response_tokens)), round(calls * answer))
        tokens = {"input_tokens": spent.input, "output_tokens": spent.output}
        return {"calls": calls, **tokens, "cost": spent.cost(self.endpoint.prices)}

    def _body(self, template: Template) -> dict[str, Any]:
        """The fields of every request but the messages."""
        return self._requested({**template.verdict.request, **template.request})

    def _requested(self, request: Mapping[str, Any]) -> dict[str, Any]:
        fields = {**request, **self.request}
        return {"model": self.model, **{name: value for name, value in fields.items() if value is not None}}
