"""A judge behind vLLM's own server, on loopback: verdicts in words, and log-probabilities that are the model's."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from nashflow.components.core.errors import UserError
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_causal_lm, load_tokenizer
from nashflow.components.oracles.base import Query
from nashflow.components.oracles.llm_judge.oracle import LLMJudgeOracle
from nashflow.components.oracles.llm_judge.settings import LLMJudge
from nashflow.components.storage.records import Message
from tests.fixtures import models
from tests.fixtures.engines import NEEDS_VLLM

pytestmark = NEEDS_VLLM

FRUIT = ("apple", "pear", "plum", "fig", "kiwi", "lime")
WORDS = ("A", "B", "[[A]]", "[[B]]", "which?", "oat", "nut", "rye", *FRUIT)
"""With the special tokens more than the twenty likeliest ones, fewer of which vLLM's server does not survive."""
SHOWN = [{"role": "user", "content": "{question} {answer_a} {answer_b}"}]
ASKED = [Message(role="user", content="which?")]
QUERIES = [Query(ASKED, *sorted(pair)) for pair in pairwise(FRUIT)]
KEY = "secret"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.llama(tmp_path_factory.mktemp("judge"), WORDS)


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--served-model-name", "judge", "--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    command += ["--dtype", "float32", "--max-model-len", "64", "--no-enable-chunked-prefill"]
    command += ["--max-num-batched-tokens", "2048"]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING", "VLLM_API_KEY": KEY}
    log = tmp_path_factory.mktemp("log") / "server.log"
    with log.open("w") as file:
        server = subprocess.Popen(command, env={**os.environ, **environment}, stdout=file, stderr=file)
    try:
        while not _healthy(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def _healthy(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)


def judge(url: str, folder: Path, verdict: dict[str, Any], **changes: Any) -> LLMJudgeOracle:
    template = folder / "template.yaml"
    template.write_text(yaml.safe_dump({"messages": SHOWN, "verdict": verdict, "request": {"temperature": 0}}))
    endpoint = {"url": url, "api_key_variable": "JUDGE_KEY", "budget": {"tokens": 10**6}}
    settings = {"model": "judge", "template": str(template), "endpoint": endpoint, **changes}
    return LLMJudge.parse(settings, "test").load()


def first_preferred(folder: Path, first: str, second: str) -> float:
    """p_A by transformers: softmax over the logits of A and B after the message."""
    import torch

    dialogues, model = Dialogues(load_tokenizer(folder)), load_causal_lm(folder, "float32")
    ids = dialogues.prompt([Message(role="user", content=f"which? {first} {second}")])
    letters = [len(models.SPECIALS), len(models.SPECIALS) + 1]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0, -1, letters]
    return float(logits.double().softmax(-1)[0])


def test_log_probabilities_are_the_models(url: str, folder: Path, tmp_path: Path) -> None:
    oracle = judge(url, tmp_path, {"kind": "logprobs", "tokens": {"A": "A", "B": "B"}})
    verdicts = oracle.compare(QUERIES)
    for query, verdict in zip(QUERIES, verdicts, strict=True):
        exact = first_preferred(folder, query.first, query.second)
        swapped = first_preferred(folder, query.second, query.first)
        assert verdict.forward == pytest.approx(exact, abs=1e-3)
        assert verdict.backward == pytest.approx(1 - swapped, abs=1e-3)
    assert oracle.usage["calls"] == 2 * len(QUERIES)
    assert oracle.usage["output_tokens"] == 2 * len(QUERIES)
    assert oracle.usage["input_tokens"] > 0


def test_verdicts_in_words(url: str, tmp_path: Path) -> None:
    words = {"kind": "pattern", "pattern": r"\[\[(A|B)\]\]", "means": {"A": 1, "B": 0}}
    choice = {"structured_outputs": {"choice": ["[[A]]", "[[B]]"]}, "max_tokens": 8}
    verdicts = judge(url, tmp_path, words, request=choice).compare(QUERIES)
    assert {verdict.forward for verdict in verdicts} | {verdict.backward for verdict in verdicts} <= {0.0, 1.0}
    assert not any(verdict.abstained for verdict in verdicts)
    free = judge(url, tmp_path, words, request={"max_tokens": 2})  # no verdict is so short
    assert all(verdict.abstained for verdict in free.compare(QUERIES))
    assert free.usage["unparsed"] == 2 * len(QUERIES)


def test_what_the_server_refuses(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = {"kind": "logprobs", "tokens": {"A": "A", "B": "B"}}
    oracle = judge(url, tmp_path, tokens)
    (verdict,) = oracle.compare([Query(ASKED, "apple", "pear " * 100)])
    assert (verdict.abstained, oracle.usage["too_long"]) == (True, 2)
    with pytest.raises(UserError, match=r"answers 404: .*does not exist.* has oracle\.model"):
        judge(url, tmp_path, tokens, model="other").compare(QUERIES)
    monkeypatch.setenv("JUDGE_KEY", "wrong")
    with pytest.raises(UserError, match=r"answers 401: .*set oracle\.endpoint\.api_key_variable"):
        judge(url, tmp_path, tokens).compare(QUERIES)
