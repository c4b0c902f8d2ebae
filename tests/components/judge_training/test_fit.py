"""Judges fitted to a preference that is known: what they learn, that they go on after a kill, what is measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings
from nashflow.components.fitting.checkpoint import Checkpoints
from nashflow.components.judge_training.fit import fit
from nashflow.components.models.weights import weights_digest
from nashflow.components.oracles.base import Query
from nashflow.components.oracles.fitted.settings import AnyJudge, JudgeSettings
from nashflow.components.oracles.settings import AnyOracle
from nashflow.components.runtime.progress import listen, stop_listening
from nashflow.components.storage.store import open_store
from tests.fixtures import models
from tests.fixtures.labelled import MARKER, WORDS, judge_of, write_pairs

KINDS = ("reward_model", "pair_preference")


class _Read(Settings):
    judge: AnyJudge


class _Oracle(Settings):
    oracle: AnyOracle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.llama(tmp_path_factory.mktemp("model"), WORDS, spread=0.05)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs.jsonl")


def parsed(settings: Mapping[str, Any]) -> JudgeSettings:
    return _Read.parse({"judge": settings}, "test").judge


def fitted(settings: JudgeSettings, folder: Path) -> dict[str, Any]:
    """Fit a judge into a folder; its checkpoints are beside it."""
    checkpoints = Checkpoints(open_store(str(folder.parent)), "state", "same")
    figures, _ = fit(settings, settings.labelled(), folder, checkpoints, "")
    return figures


class Interrupted(Exception):
    """Stands for the end of a process."""


class Interruption:
    """Ends a training after so many updates."""

    def __init__(self, updates: int) -> None:
        self._updates = updates

    def put(self, done: int, figures: Mapping[str, float], amounts: Mapping[str, int]) -> None:
        if done == self._updates:
            raise Interrupted

    def close(self) -> None: ...


@pytest.mark.parametrize("kind", KINDS)
def test_a_known_preference_is_learnt_and_the_folder_is_an_oracle(
    kind: str, model: Path, data: Path, tmp_path: Path
) -> None:
    figures = fitted(parsed(judge_of(model, data, kind)), tmp_path / "judge")
    assert figures["accuracy"]["value"] > 0.9
    assert (figures["pairs"], figures["trained"]["pairs"]) == (30, 120)
    assert figures["accuracy"]["low"] > 0.5
    assert "beats chance" in figures["verdict"]
    assert figures["weights"] == weights_digest(tmp_path / "judge")
    oracle = _Oracle.parse({"oracle": {"kind": kind, "model": str(tmp_path / "judge")}}, "test").oracle
    oracle.check()
    better, worse = f"red {MARKER} two", "red up two"
    asked = [Query([{"role": "user", "content": "new one"}], *texts) for texts in ((better, worse), (worse, better))]
    first, second = oracle.load().compare(asked)
    assert first.probability > 0.8
    assert second.probability == 1 - first.probability


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(
    kind: str, model: Path, data: Path, tmp_path: Path
) -> None:
    settings = parsed(judge_of(model, data, kind, epochs=1, checkpoint_updates=3))
    whole = fitted(settings, tmp_path / "whole/judge")
    listen(Interruption(7))
    try:
        with pytest.raises(Interrupted):
            fitted(settings, tmp_path / "stopped/judge")
    finally:
        stop_listening()
    assert not (tmp_path / "stopped/judge").exists()
    again = fitted(settings, tmp_path / "stopped/judge")
    assert (again["weights"], again["trained"]) == (whole["weights"], whole["trained"])


def test_the_lower_layers_alone(model: Path, data: Path, tmp_path: Path) -> None:
    figures = fitted(parsed(judge_of(model, data, "reward_model", layers=1)), tmp_path / "judge")
    assert '"num_hidden_layers": 1' in (tmp_path / "judge/config.json").read_text()
    assert figures["trained"]["loss"] < figures["trained"]["loss_first"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 3}, "layers is 3, and the model in .* has 2: lower it, or leave it out"),
        ({"max_tokens": 4}, "none of 120 pairs to train on fits into max_tokens = 4: raise it"),
        ({"held_out": 0.999}, "leave none to train or none to measure on: add pairs, or set held_out nearer to 0.5"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(
    changes: dict[str, Any], message: str, model: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        fitted(parsed({**judge_of(model, data, "reward_model"), **changes}), tmp_path / "judge")
    assert list(tmp_path.iterdir()) == []


def test_letters_that_are_no_tokens(data: Path, tmp_path: Path) -> None:
    without = models.llama(tmp_path / "model", [word for word in WORDS if word != "A"])
    with pytest.raises(UserError, match='"A" is not a single token of the tokenizer'):
        parsed(judge_of(without, data, "pair_preference")).check()


def test_a_padding_token_that_ends_dialogues(data: Path, tmp_path: Path) -> None:
    """Where such a dialogue ends, a reward model would not see."""
    model = models.llama(tmp_path / "model", WORDS)
    config = (model / "config.json").read_text()
    (model / "config.json").write_text(config.replace(f'"pad_token_id": {models.PAD}', f'"pad_token_id": {models.EOS}'))
    with pytest.raises(UserError, match=r"pads with '<\|end\|>', and its chat template ends a dialogue with the same"):
        fitted(parsed(judge_of(model, data, "reward_model")), tmp_path / "judge")
