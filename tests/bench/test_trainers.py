"""The contenders of training and of log-probabilities on a model so small that each takes no time."""

from pathlib import Path

import pytest

from tests.bench import caching, preferences, training, trl

TINY = {
    "vocab_size": 200,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    preferences.random_llama(folder, TINY, prompt=(4, 9), response=(3, 8), pairs=3)
    return folder


@pytest.mark.parametrize("kind", [training.Shared, training.Packed, training.Padded])
def test_our_step(folder: Path, kind: type[training.Shared]) -> None:
    work = kind(folder)
    assert work() == training.tokens_of(training.pairs_in(folder))
    figures = work.figures()
    assert figures["mfu"] > 0
    assert 0 <= figures["padding"] < 1


@pytest.mark.parametrize("kind", [training.AllLogits, training.ResponseLogits])
def test_plain_loops_descend_as_our_step_does(folder: Path, kind: type[training.AllLogits]) -> None:
    """By the same gradients: the norms of a first update are equal."""
    ours, loop = training.Padded(folder), kind(folder)
    expected = ours._trainer.update(ours._all)
    assert loop() == training.tokens_of(training.pairs_in(folder))
    assert loop.loss == pytest.approx(expected["loss"], rel=1e-4)
    assert loop.gradient_norm == pytest.approx(expected["gradient_norm"], rel=1e-4)


@pytest.mark.engines
@pytest.mark.parametrize("kind", [training.SharedBf16, training.SharedLora])
def test_our_step_by_deepspeed(folder: Path, kind: type[training.Shared]) -> None:
    work = kind(folder)
    assert work() == training.tokens_of(training.pairs_in(folder))
    assert work.figures()["mfu"] > 0


@pytest.mark.engines
@pytest.mark.parametrize("kind", [trl.Trl, trl.TrlBf16, trl.TrlLora])
def test_trl(folder: Path, kind: type[trl.Trl]) -> None:
    assert kind(folder)() == training.tokens_of(training.pairs_in(folder))


@pytest.mark.parametrize("kind", [caching.Ours, caching.AllLogits])
def test_caching(folder: Path, kind: type[caching.Ours]) -> None:
    assert kind(folder)() == training.tokens_of(training.pairs_in(folder))
