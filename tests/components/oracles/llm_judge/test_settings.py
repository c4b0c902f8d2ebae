"""Settings of a judge behind a server: what is refused, and what is part of its identity."""

from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import TryAgain, UserError
from nashflow.components.oracles.llm_judge.settings import LLMJudge
from nashflow.components.oracles.llm_judge.template import read_template
from nashflow.components.oracles.mixture.settings import Mixture
from nashflow.components.storage.run import without_endpoints
from nashflow.components.storage.store import open_store
from tests.fixtures.judge_server import serving

URL = "http://judge:8000/v1"


def settings(**changes: Any) -> LLMJudge:
    return LLMJudge.parse(
        {"model": "judge", "endpoint": {"url": URL, **changes.pop("endpoint", {})}, **changes}, "oracle"
    )


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        (
            {"budget": {"tokens": 0}},
            r"oracle: endpoint\.budget: tokens is 0, which buys no verdict: set it above 0, or",
        ),
        ({"budget": {"cost": -1}, "prices": {"input": 1}}, r"endpoint\.budget: cost is -1\.0, which buys no verdict"),
        ({"budget": {"cost": 5}}, r"endpoint: budget\.cost: there are no prices: set prices\.input"),
        ({"api_key_variable": "sk-1234"}, r"endpoint\.api_key_variable: is no name of an environment variable"),
        ({"url": "http://me:sk-1234@judge/v1"}, r"endpoint\.url: holds a secret"),
        ({"url": "judge:8000"}, r"endpoint\.url: 'judge:8000' is no address of an API: give one such as http"),
        ({"concurrency": 0}, r"endpoint\.concurrency: .* greater than or equal to 1"),
    ],
)
def test_an_endpoint_that_cannot_be_asked_is_refused(endpoint: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        settings(endpoint=endpoint)
    assert "sk-1234" not in str(error.value)


def test_a_template_is_a_shipped_one_or_a_file() -> None:
    with pytest.raises(UserError, match=r"'mt-bench' is neither a shipped one nor a \.yaml file; did you mean mt-b"):
        settings(template="mt-bench")
    assert settings().paths == ()
    assert settings(template="/models/mine.yaml").paths == (Path("/models/mine.yaml"),)


def test_the_request_is_the_servers_but_for_what_is_asked() -> None:
    with pytest.raises(UserError, match=r"request: messages is set by NashFlow: remove it"):
        settings(request={"messages": []})
    body = settings(request={"max_tokens": None, "max_completion_tokens": 9})._body
    assert body(read_template("mt-bench-pair-v2")) == {"model": "judge", "temperature": 0, "max_completion_tokens": 9}


def test_identity_is_model_template_and_request_and_neither_address_nor_key() -> None:
    mine = settings()
    same = {"url": "https://other/v1", "api_key_variable": "K", "concurrency": 1, "timeout": 1, "attempts": 1}
    assert settings(endpoint={**same, "budget": {"tokens": 1}, "prices": {"input": 1}}).digest() == mine.digest()
    others = [{"model": "x"}, {"revision": "2"}, {"template": "selene"}, {"request": {"temperature": 1}}]
    assert len({mine.digest(), *(settings(**other).digest() for other in others)}) == 5
    assert without_endpoints(mine.model_dump(mode="json")).keys() == mine.model_dump().keys() - {"endpoint"}
    assert without_endpoints({"members": [{"oracle": {"endpoint": 1, "kind": "x"}}]}) == {
        "members": [{"oracle": {"kind": "x"}}]
    }


def test_it_is_asked_again_with_another_seed_where_it_samples() -> None:
    assert settings().asked_again() is None  # temperature 0
    sampled = settings(request={"temperature": 0.6, "max_tokens": 9})
    again = sampled.asked_again()
    assert again is not None
    assert again.request == {"temperature": 0.6, "max_tokens": 9, "seed": 1}
    assert again.digest() != sampled.digest()
    third = again.asked_again()
    assert third is not None
    assert third.request["seed"] == 2
    assert settings(template="alpaca-eval-clf", request={"temperature": 1}).asked_again() is None


def test_a_key_that_is_not_there_is_said_where_the_judge_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    named = settings(endpoint={"api_key_variable": "NO_KEY"})
    named.check()  # the client needs no key
    with pytest.raises(UserError, match=r"NO_KEY is not set in the environment of this step"):
        named.load()


def test_preparation_asks_once_and_not_again(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    with serving(lambda body: "I do not know.") as server:
        settings(endpoint={"url": server.url}).check_reachable(store, anew=True)
        assert server.calls == 2
    gone = {"url": server.url, "attempts": 1}
    with pytest.raises(TryAgain, match="no answer in 1 attempts"):  # whatever it has answered before
        settings(endpoint=gone).check_reachable(store, anew=True)
    settings(endpoint=gone).check_reachable(store, anew=False)
    unknown = ('{"status": 404, "error": {"message": "no model other"}}',)
    with serving(faults=unknown) as server, pytest.raises(UserError, match=r"answers 404: no model other"):
        settings(model="other", endpoint={"url": server.url}).check_reachable(store, anew=False)


def test_preparation_refuses_a_judge_whose_context_holds_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    full = ('{"status": 400, "error": {"message": "This model\'s maximum context length is 512 tokens."}}',)
    with serving(faults=full) as server, pytest.raises(UserError, match=r"oracle\.request\.max_tokens lower"):
        settings(endpoint={"url": server.url}).check_reachable(store, anew=True)
    with serving() as server:  # which was started with a longer context
        settings(endpoint={"url": server.url}).check_reachable(store, anew=True)
        assert server.calls == 2


def test_two_calls_for_each_new_pair() -> None:
    assert settings().sequences([{(0, 1), (2, 3)}, {(1, 0), (0, 2)}]) == 6


def test_a_judge_in_a_mixture_is_asked_by_preparation_too(tmp_path: Path) -> None:
    with serving() as server:
        judge = {"kind": "llm_judge", "model": "judge", "endpoint": {"url": server.url}}
        other = {**judge, "template": "selene"}
        mixture = Mixture.parse({"oracles": [judge, other], "weights": [0.5, 0.5]}, "oracle")
        mixture.check_reachable(open_store(str(tmp_path / "run")), anew=False)
        assert server.calls == 4
